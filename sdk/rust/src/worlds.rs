//! The bindings, generated once for each exported interface, with the trait a plugin implements and the glue between.
//!
//! A world's exports are the union of these: wit-component unites the component types that each export macro embeds.

#![expect(
    clippy::mem_forget,
    reason = "the generated bindings hand buffers to the host this way"
)]

/// What every world shares.
#[doc(hidden)]
pub mod base {
    wit_bindgen::generate!({
        inline: "
            package nephron:sdk;
            world vocabulary {
                import nephron:plugin/types@0.1.0;
                import nephron:plugin/exchange@0.1.0;
                import nephron:plugin/diagnostics@0.1.0;
                export nephron:plugin/plugin@0.1.0;
            }
        ",
        path: "wit",
        pub_export_macro: true,
        export_macro_name: "export_plugin",
        generate_all,
    });

    /// Carries the exports of the plugin `P`.
    pub struct Exported<P>(std::marker::PhantomData<P>);

    use exports::nephron::plugin::plugin as wit;

    impl<P: crate::Plugin> wit::Guest for Exported<P> {
        fn describe() -> wit::Descriptor {
            wit::Descriptor {
                name: P::NAME.to_owned(),
                version: P::VERSION.to_owned(),
                settings_schema: P::SETTINGS_SCHEMA.map(str::to_owned),
            }
        }

        fn configure(settings: String) -> Result<(), Vec<wit::Problem>> {
            let problem = |crate::Problem { key, message }| wit::Problem { key, message };
            crate::plugin::configure::<P>(&settings)
                .map_err(|problems| problems.into_iter().map(problem).collect())
        }
    }
}

#[doc(hidden)]
pub mod decider_export {
    wit_bindgen::generate!({
        inline: "package nephron:sdk; world decider-export { export nephron:plugin/decider@0.1.0; }",
        path: "wit",
        pub_export_macro: true,
        export_macro_name: "export_decider_export",
        with: {
            "nephron:plugin/types@0.1.0": crate::worlds::base::nephron::plugin::types,
        },
    });
    use super::base::Exported;

    impl<P: crate::decider::Decider> exports::nephron::plugin::decider::Guest for Exported<P> {
        fn decide(query: crate::decider::Query) -> Result<crate::decider::Decision, crate::Error> {
            crate::plugin::with(|plugin: &P| plugin.decide(query))
        }
    }
}

/// Access-policy deciders: world `access-policy`.
pub mod decider {
    pub use super::decider_export::exports::nephron::plugin::decider::{
        Decision, Effect, Obligation, Query, Reason,
    };
    pub use crate::types::{Attribute, Caller, RequestInfo, Value};

    /// Decides whether something may happen. Pure: the answer depends on the settings and the query alone.
    pub trait Decider: crate::Plugin {
        /// Decides one query.
        ///
        /// # Errors
        /// When no decision can be made; the host takes it as a deny and records which plugin failed.
        fn decide(&self, query: Query) -> Result<Decision, crate::Error>;
    }
}

#[doc(hidden)]
pub mod detector_export {
    wit_bindgen::generate!({
        inline: "package nephron:sdk; world detector-export { export nephron:plugin/detector@0.1.0; }",
        path: "wit",
        pub_export_macro: true,
        export_macro_name: "export_detector_export",
        with: {
            "nephron:plugin/types@0.1.0": crate::worlds::base::nephron::plugin::types,
        },
    });
    use super::base::Exported;

    impl<P: crate::detector::Detector> exports::nephron::plugin::detector::Guest for Exported<P> {
        fn detect(
            info: crate::types::RequestInfo,
            messages: Vec<crate::types::Message>,
        ) -> Result<Vec<crate::detector::Span>, crate::Error> {
            crate::plugin::with(|plugin: &P| plugin.detect(info, messages))
        }
    }
}

/// Detectors of identifiers: world `deidentifier`.
pub mod detector {
    pub use crate::types::Span;
    pub use crate::types::{Message, Part, RequestInfo};

    /// Reports where identifiers are; the host rewrites the text.
    pub trait Detector: crate::Plugin {
        /// Finds identifiers. Offsets are UTF-8 bytes into the named part, end exclusive, on scalar boundaries;
        /// spans of one part may touch and must not overlap.
        ///
        /// # Errors
        /// When the text cannot be judged; the host refuses the request and records which plugin failed.
        fn detect(
            &self,
            info: RequestInfo,
            messages: Vec<Message>,
        ) -> Result<Vec<Span>, crate::Error>;
    }
}

#[doc(hidden)]
pub mod transformer_export {
    wit_bindgen::generate!({
        inline: "package nephron:sdk; world transformer-export { export nephron:plugin/transformer@0.1.0; }",
        path: "wit",
        pub_export_macro: true,
        export_macro_name: "export_transformer_export",
        with: {
            "nephron:plugin/types@0.1.0": crate::worlds::base::nephron::plugin::types,
            "nephron:plugin/keys@0.1.0": generate,
        },
    });
    use super::base::Exported;

    impl<P: crate::keyed::Transformer> exports::nephron::plugin::transformer::Guest for Exported<P> {
        fn deidentify(
            info: crate::types::RequestInfo,
            messages: Vec<crate::types::Message>,
            found: Vec<crate::keyed::Span>,
            key: &crate::keyed::Key,
        ) -> Result<crate::keyed::Outcome, crate::Error> {
            crate::plugin::with(|plugin: &P| plugin.deidentify(info, messages, found, key))
        }

        fn reidentify(
            info: crate::types::RequestInfo,
            messages: Vec<crate::types::Message>,
            key: &crate::keyed::Key,
        ) -> Result<crate::keyed::Outcome, crate::Error> {
            crate::plugin::with(|plugin: &P| plugin.reidentify(info, messages, key))
        }
    }
}

/// De-identifiers that write text themselves, with a lent key: world `keyed-deidentifier`.
pub mod keyed {
    pub use super::transformer_export::exports::nephron::plugin::transformer::Outcome;
    pub use super::transformer_export::nephron::plugin::keys::{
        Key, KeyError, KeyInfo, Operations,
    };
    pub use crate::types::Span;
    pub use crate::types::{Message, Part, RequestInfo};

    /// Writes text itself (date shift, surrogates, Expert Determination). The key is lent for one call.
    pub trait Transformer: crate::detector::Detector {
        /// Rewrites `messages` without their identifiers.
        ///
        /// # Errors
        /// When it cannot; the host refuses the request.
        fn deidentify(
            &self,
            info: RequestInfo,
            messages: Vec<Message>,
            found: Vec<Span>,
            key: &Key,
        ) -> Result<Outcome, crate::Error>;

        /// Puts identifiers back.
        ///
        /// # Errors
        /// When it cannot; the host refuses the request.
        fn reidentify(
            &self,
            info: RequestInfo,
            messages: Vec<Message>,
            key: &Key,
        ) -> Result<Outcome, crate::Error>;
    }
}

#[doc(hidden)]
pub mod connector_export {
    wit_bindgen::generate!({
        inline: "package nephron:sdk; world connector-export { export nephron:plugin/connector@0.1.0; }",
        path: "wit",
        pub_export_macro: true,
        export_macro_name: "export_connector_export",
        with: {
            "nephron:plugin/types@0.1.0": crate::worlds::base::nephron::plugin::types,
            "nephron:plugin/exchange@0.1.0": crate::worlds::base::nephron::plugin::exchange,
        },
    });
    use super::base::Exported;

    use crate::connector::{Connector, Decode};
    use exports::nephron::plugin::connector as wit;

    /// The exported `decoder` resource: a plugin's decoder behind a cell, since WIT methods take `&self`.
    pub struct Decoder<P: Connector>(std::cell::RefCell<P::Decoder>);

    impl<P: Connector> wit::GuestDecoder for Decoder<P> {
        fn new(status: u16, headers: Vec<(String, String)>) -> Self {
            Self(std::cell::RefCell::new(P::Decoder::new(status, headers)))
        }

        fn push(&self, chunk: Vec<u8>) -> Result<Vec<wit::Event>, crate::Error> {
            self.0.borrow_mut().push(&chunk)
        }

        fn finish(this: wit::Decoder) -> Result<Vec<wit::Event>, crate::Error> {
            this.into_inner::<Self>().0.into_inner().finish()
        }
    }

    impl<P: Connector> wit::Guest for Exported<P> {
        type Decoder = Decoder<P>;

        fn encode(
            info: crate::types::RequestInfo,
            call: wit::ChatCall,
        ) -> Result<wit::Plan, crate::Error> {
            crate::plugin::with(|plugin: &P| plugin.encode(info, call))
        }
    }
}

/// LLM connectors: world `llm-connector`.
pub mod connector {
    pub use super::base::nephron::plugin::exchange::HttpRequest;
    pub use super::connector_export::exports::nephron::plugin::connector::{
        ChatCall, Event, Plan, ToolCallDelta, Usage,
    };
    pub use crate::types::{Attribute, Message, Part, RequestInfo, Value};

    /// Speaks to a model without ever dialling: maps a chat call to one HTTP request, and bytes to events.
    pub trait Connector: crate::Plugin {
        /// Decodes one response.
        type Decoder: Decode;

        /// Maps a call to the HTTP request that the host sends, or to the connector's own answer.
        ///
        /// # Errors
        /// When the call cannot be expressed to this provider.
        fn encode(&self, info: RequestInfo, call: ChatCall) -> Result<Plan, crate::Error>;
    }

    /// Decodes one response as it arrives.
    pub trait Decode: Sized + 'static {
        /// Begins with the response's status and headers (names in lower case).
        fn new(status: u16, headers: Vec<(String, String)>) -> Self;

        /// Takes the next bytes, cut anywhere, and gives the events that are complete.
        ///
        /// # Errors
        /// When the bytes are no response of this provider, or report a failure of it.
        fn push(&mut self, chunk: &[u8]) -> Result<Vec<Event>, crate::Error>;

        /// The response has ended.
        ///
        /// # Errors
        /// When it ended too early.
        fn finish(self) -> Result<Vec<Event>, crate::Error>;
    }

    /// The decoder of a connector that always answers by itself: any byte is an error.
    #[derive(Clone, Copy, Debug)]
    pub struct NoDecoder;

    impl Decode for NoDecoder {
        fn new(_: u16, _: Vec<(String, String)>) -> Self {
            Self
        }

        fn push(&mut self, _: &[u8]) -> Result<Vec<Event>, crate::Error> {
            Err(crate::Error::Unsupported(
                "this connector answers by itself".to_owned(),
            ))
        }

        fn finish(self) -> Result<Vec<Event>, crate::Error> {
            Err(crate::Error::Unsupported(
                "this connector answers by itself".to_owned(),
            ))
        }
    }
}

#[doc(hidden)]
pub mod signer_export {
    wit_bindgen::generate!({
        inline: "package nephron:sdk; world signer-export { export nephron:plugin/signer@0.1.0; }",
        path: "wit",
        pub_export_macro: true,
        export_macro_name: "export_signer_export",
        with: {
            "nephron:plugin/types@0.1.0": crate::worlds::base::nephron::plugin::types,
            "nephron:plugin/exchange@0.1.0": crate::worlds::base::nephron::plugin::exchange,
            "nephron:plugin/keys@0.1.0": generate,
        },
    });
    use super::base::Exported;

    impl<P: crate::signer::Signer> exports::nephron::plugin::signer::Guest for Exported<P> {
        fn sign(
            info: crate::types::RequestInfo,
            request: crate::connector::HttpRequest,
            host: String,
            key: &crate::signer::Key,
        ) -> Result<crate::connector::HttpRequest, crate::Error> {
            crate::plugin::with(|plugin: &P| plugin.sign(info, request, host, key))
        }
    }
}

/// Connectors and exporters that sign each request: worlds `signing-llm-connector` and `signing-audit-exporter`.
pub mod signer {
    pub use super::signer_export::nephron::plugin::keys::{Key, KeyError, KeyInfo, Operations};
    pub use crate::connector::{HttpRequest, RequestInfo};

    /// Signs what the connector or the exporter encoded. The key is lent for one call, and gives codes (`mac`) and never itself.
    pub trait Signer: crate::Plugin {
        /// Adds the signature to `request`, which goes to `host` (as the header of that name will say): headers after
        /// those that it has, and nothing else. The key's id says what the provider's signature must name: for AWS the
        /// credential and its scope, `AKIDEXAMPLE/20261126/eu-central-1/bedrock/aws4_request`.
        ///
        /// # Errors
        /// When it cannot; the host refuses the request, or keeps the batch.
        fn sign(
            &self,
            info: RequestInfo,
            request: HttpRequest,
            host: String,
            key: &Key,
        ) -> Result<HttpRequest, crate::Error>;
    }
}

#[doc(hidden)]
pub mod exporter_export {
    wit_bindgen::generate!({
        inline: "package nephron:sdk; world exporter-export { export nephron:plugin/exporter@0.1.0; }",
        path: "wit",
        pub_export_macro: true,
        export_macro_name: "export_exporter_export",
        with: {
            "nephron:plugin/types@0.1.0": crate::worlds::base::nephron::plugin::types,
            "nephron:plugin/exchange@0.1.0": crate::worlds::base::nephron::plugin::exchange,
        },
    });
    use super::base::Exported;

    impl<P: crate::exporter::Exporter> exports::nephron::plugin::exporter::Guest for Exported<P> {
        fn encode(
            batch: crate::exporter::Batch,
        ) -> Result<crate::exporter::Delivery, crate::Error> {
            crate::plugin::with(|plugin: &P| plugin.encode(batch))
        }

        fn judge(
            status: u16,
            headers: Vec<(String, String)>,
            body: Vec<u8>,
        ) -> crate::exporter::Verdict {
            let verdict = crate::plugin::with(|plugin: &P| Ok(plugin.judge(status, headers, body)));
            verdict.unwrap_or_else(|_| {
                crate::exporter::Verdict::Rejected("called before configure".to_owned())
            })
        }
    }
}

#[doc(hidden)]
pub mod confirmer_export {
    wit_bindgen::generate!({
        inline: "package nephron:sdk; world confirmer-export { export nephron:plugin/confirmer@0.1.0; }",
        path: "wit",
        pub_export_macro: true,
        export_macro_name: "export_confirmer_export",
        with: {
            "nephron:plugin/exchange@0.1.0": crate::worlds::base::nephron::plugin::exchange,
        },
    });
    use super::base::Exported;

    impl<P: crate::exporter::Confirmer> exports::nephron::plugin::confirmer::Guest for Exported<P> {
        fn confirm(
            status: u16,
            headers: Vec<(String, String)>,
            body: Vec<u8>,
        ) -> Option<crate::exporter::HttpRequest> {
            let asked = crate::plugin::with(|plugin: &P| Ok(plugin.confirm(status, headers, body)));
            asked.ok().flatten()
        }
    }
}

/// Audit exporters: world `audit-exporter`.
pub mod exporter {
    pub use super::base::nephron::plugin::exchange::HttpRequest;
    pub use super::exporter_export::exports::nephron::plugin::exporter::{
        Batch, Delivery, Entry, Verdict,
    };
    pub use crate::types::Instant;

    /// Ships entries of the log elsewhere, sans-I/O. Batches come at least once; the host keeps the cursor.
    pub trait Exporter: crate::Plugin {
        /// Maps a batch to what the host delivers.
        ///
        /// # Errors
        /// When the batch cannot be expressed; the host keeps it and raises an alarm.
        fn encode(&self, batch: Batch) -> Result<Delivery, crate::Error>;

        /// Judges the answer to an HTTP delivery.
        fn judge(&self, status: u16, headers: Vec<(String, String)>, body: Vec<u8>) -> Verdict;
    }

    /// An exporter whose server accepts a batch first and keeps it later: world `confirming-audit-exporter`.
    pub trait Confirmer: Exporter {
        /// What to ask once a delivery was called delivered, out of the answer to it. [`Exporter::judge`] judges what comes back,
        /// and while it wants a retry the same is asked again.
        fn confirm(
            &self,
            status: u16,
            headers: Vec<(String, String)>,
            body: Vec<u8>,
        ) -> Option<HttpRequest>;
    }
}
