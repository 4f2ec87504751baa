//! What is counted, for Prometheus (OpenMetrics 1.0). Labels are names of the configuration and codes, never anything of a
//! request (I9), so that their number is bounded.

use std::collections::BTreeMap;
use std::time::Duration;

use nephron_audit::view::ViewStanding;
use nephron_model::{Draft, EntryKind};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::anchor::AnchorState;
use crate::associates::Alert;
use crate::chain::deidentify::is_kind;
use crate::chain::export::ExportState;

/// The counters of one process.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<OfRequest, Counter>,
    request_time: Family<OfApi, Histogram, fn() -> Histogram>,
    first_byte_time: Family<OfApi, Histogram, fn() -> Histogram>,
    entries: Family<OfEntry, Counter>,
    identifiers: Family<OfKind, Counter>,
    judgement_time: Family<OfPlugin, Histogram, fn() -> Histogram>,
    in_flight: Family<OfTenant, Gauge>,
    log_entries: Family<OfTenant, Gauge>,
    logs_stopped: Family<OfTenant, Gauge>,
    log_views: Family<OfView, Gauge>,
    logs_set_aside: Family<OfTenant, Gauge>,
    agreements: Family<OfAgreement, Gauge>,
    distrusted: Family<OfDistrusted, Gauge>,
    anchors: Family<OfAnchor, Gauge>,
    export_lag: Family<OfExport, Gauge>,
    export_age: Family<OfExport, Gauge>,
    exports_late: Family<OfExport, Gauge>,
    exports_failing: Family<OfExport, Gauge>,
    set_aside: Family<OfExport, Gauge>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfRequest {
    api: &'static str,
    /// `answered`, or the code of a refusal.
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfApi {
    api: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfEntry {
    kind: String,
    outcome: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfKind {
    kind: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfPlugin {
    plugin: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfTenant {
    tenant: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfView {
    tenant: String,
    standing: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfAgreement {
    associate: String,
    agreement: String,
    standing: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfDistrusted {
    plugin: String,
    code: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfAnchor {
    anchor: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfExport {
    export: String,
}

/// How a tenant stands at this moment.
pub(crate) struct TenantState<'a> {
    pub(crate) tenant: &'a str,
    pub(crate) in_flight: usize,
    pub(crate) log_entries: u64,
    pub(crate) is_log_stopped: bool,
    /// How the log's view stands, if the log is open.
    pub(crate) view: Option<ViewStanding>,
    /// Folders in the log's `damaged/`.
    pub(crate) set_aside: u64,
    /// Why it does not serve, if it does not.
    pub(crate) why_closed: Option<String>,
}

/// Bounds in seconds: from a refusal's fraction of a millisecond to a long answer.
fn times() -> Histogram {
    Histogram::new([
        0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0,
        60.0,
    ])
}

/// The same for one call of a plugin.
fn short_times() -> Histogram {
    Histogram::new([
        0.000_01, 0.000_02, 0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.1,
        1.0,
    ])
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("nephron");
        let requests = Family::default();
        let request_time = Family::new_with_constructor(times as fn() -> Histogram);
        let first_byte_time = Family::new_with_constructor(times as fn() -> Histogram);
        let entries = Family::default();
        let identifiers = Family::default();
        let judgement_time = Family::new_with_constructor(short_times as fn() -> Histogram);
        let (in_flight, log_entries, logs_stopped) =
            (Family::default(), Family::default(), Family::default());
        let (log_views, logs_set_aside) = (Family::default(), Family::default());
        let agreements = Family::default();
        registry.register(
            "requests",
            "Requests that ended, by API and by what came of them",
            Family::clone(&requests),
        );
        registry.register_with_unit(
            "request",
            "From a request's head to the end of its answer",
            Unit::Seconds,
            Family::clone(&request_time),
        );
        registry.register_with_unit(
            "first_byte",
            "From a request's head to the first byte of a streamed answer",
            Unit::Seconds,
            Family::clone(&first_byte_time),
        );
        registry.register(
            "entries",
            "Log entries that requests wrote, by kind and outcome",
            Family::clone(&entries),
        );
        registry.register(
            "identifiers",
            "Identifiers that were replaced, by kind",
            Family::clone(&identifiers),
        );
        registry.register_with_unit(
            "judgement",
            "One call of a plugin",
            Unit::Seconds,
            Family::clone(&judgement_time),
        );
        registry.register(
            "in_flight",
            "Requests that have not ended",
            Family::clone(&in_flight),
        );
        registry.register(
            "log_entries",
            "Entries of the tenant's log",
            Family::clone(&log_entries),
        );
        registry.register(
            "log_stopped",
            "1 where the tenant's log takes no entries, and every request is refused",
            Family::clone(&logs_stopped),
        );
        registry.register(
            "log_view",
            "1 for how the view of the tenant's log stands: open, at-rest, rebuilding or missing; while it is one of the last two, answers come slower from the journal",
            Family::clone(&log_views),
        );
        registry.register(
            "log_set_aside",
            "Damaged views and torn tails that the tenant's log has set aside, each a folder in its `damaged/`",
            Family::clone(&logs_set_aside),
        );
        registry.register(
            "agreement_alert",
            "1 for each business associate agreement that has lapsed or soon does",
            Family::clone(&agreements),
        );
        let distrusted = Family::default();
        registry.register(
            "plugin_distrusted",
            "1 for each plugin that serves and would not be let serve now: it, or who vouches for it, is revoked, or a statement has ended",
            Family::clone(&distrusted),
        );
        let anchors = Family::default();
        registry.register(
            "anchor_too_old",
            "1 where an anchor took no checkpoint of the host's log for more than 25 hours, 0 elsewhere",
            Family::clone(&anchors),
        );
        let mut of_exports = |name: &str, help: &str| {
            let family = Family::<OfExport, Gauge>::default();
            registry.register(name, help, Family::clone(&family));
            family
        };
        let export_lag = of_exports(
            "export_lag",
            "Log entries that the export has not had, of all logs that are open",
        );
        let export_age = of_exports(
            "export_oldest_seconds",
            "Age of the oldest log entry that the export has not had",
        );
        let exports_late = of_exports(
            "export_late",
            "Logs of which an entry has not been delivered for longer than `export.late-after`",
        );
        let exports_failing =
            of_exports("export_failing", "Logs of which the last delivery failed");
        let set_aside = of_exports(
            "export_set_aside",
            "Log entries that the export refused for good and does not have",
        );
        Self {
            registry,
            export_lag,
            export_age,
            exports_late,
            exports_failing,
            set_aside,
            requests,
            request_time,
            first_byte_time,
            entries,
            identifiers,
            judgement_time,
            in_flight,
            log_entries,
            logs_stopped,
            log_views,
            logs_set_aside,
            agreements,
            distrusted,
            anchors,
        }
    }

    /// A request has ended.
    pub(crate) fn request(&self, api: &'static str, outcome: &'static str, time: Duration) {
        self.requests
            .get_or_create(&OfRequest { api, outcome })
            .inc();
        self.request_time
            .get_or_create(&OfApi { api })
            .observe(time.as_secs_f64());
    }

    /// The first byte of a streamed answer goes out.
    pub(crate) fn first_byte(&self, api: &'static str, time: Duration) {
        self.first_byte_time
            .get_or_create(&OfApi { api })
            .observe(time.as_secs_f64());
    }

    /// An entry is written.
    pub(crate) fn entry(&self, draft: &Draft) {
        self.entries
            .get_or_create(&OfEntry {
                kind: crate::case::kind_name(draft.kind),
                outcome: draft.outcome.clone(),
            })
            .inc();
        if draft.kind == EntryKind::Deidentified {
            let kinds = draft.counts.iter().filter(|(name, _)| is_kind(name));
            for (kind, count) in kinds {
                let kind = kind.clone();
                self.identifiers
                    .get_or_create(&OfKind { kind })
                    .inc_by(*count);
            }
        }
        if let (Some(plugin), Some(micros)) = (&draft.plugin, draft.micros) {
            let plugin = plugin.name.clone();
            self.judgement_time
                .get_or_create(&OfPlugin { plugin })
                .observe(Duration::from_micros(micros).as_secs_f64());
        }
    }

    /// Everything as text, with how each tenant, each anchor and each export stands now, and which agreements and plugins someone has to
    /// see to.
    pub(crate) fn text<'a>(
        &self,
        states: impl Iterator<Item = TenantState<'a>>,
        anchors: impl Iterator<Item = AnchorState<'a>>,
        exports: &[ExportState<'_>],
        alerts: &[Alert],
        distrusted: &BTreeMap<String, &'static str>,
    ) -> String {
        self.distrusted.clear();
        for (plugin, code) in distrusted {
            let plugin = plugin.clone();
            let of = OfDistrusted { plugin, code };
            self.distrusted.get_or_create(&of).set(1);
        }
        for state in exports {
            let of = OfExport {
                export: state.name.to_owned(),
            };
            let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
            let length = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
            for (family, value) in [
                (&self.export_lag, number(state.lag)),
                (&self.export_age, number(state.oldest.as_secs())),
                (&self.exports_late, length(state.late.len())),
                (&self.exports_failing, length(state.failing.len())),
                (&self.set_aside, number(state.set_aside)),
            ] {
                family.get_or_create(&of).set(value);
            }
        }
        for state in anchors {
            let anchor = state.name.to_owned();
            let gauge = self.anchors.get_or_create(&OfAnchor { anchor });
            gauge.set(i64::from(state.is_too_old));
        }
        self.agreements.clear();
        for alert in alerts {
            let of = OfAgreement {
                associate: alert.associate.clone(),
                agreement: alert.agreement.clone(),
                standing: alert.standing.as_str(),
            };
            self.agreements.get_or_create(&of).set(1);
        }
        self.log_views.clear();
        for state in states {
            if let Some(view) = state.view {
                let of = OfView {
                    tenant: state.tenant.to_owned(),
                    standing: view.as_str(),
                };
                self.log_views.get_or_create(&of).set(1);
            }
            let label = OfTenant {
                tenant: state.tenant.to_owned(),
            };
            let set = |family: &Family<OfTenant, Gauge>, value: i64| {
                family.get_or_create(&label).set(value);
            };
            set(
                &self.in_flight,
                i64::try_from(state.in_flight).unwrap_or(i64::MAX),
            );
            set(
                &self.log_entries,
                i64::try_from(state.log_entries).unwrap_or(i64::MAX),
            );
            set(&self.logs_stopped, i64::from(state.is_log_stopped));
            set(
                &self.logs_set_aside,
                i64::try_from(state.set_aside).unwrap_or(i64::MAX),
            );
        }
        let mut text = String::new();
        // Writing to a string fails for no reason of its own.
        let _written = encode(&mut text, &self.registry);
        text
    }
}

/// The media type of [`Metrics::text`].
pub(crate) const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_is_counted_under_names_and_codes() {
        let metrics = Metrics::new();
        metrics.request("chat", "answered", Duration::from_millis(3));
        metrics.request("chat", "denied", Duration::from_millis(1));
        metrics.first_byte("chat", Duration::from_millis(2));
        let mut draft = Draft::new(EntryKind::Deidentified, "replaced");
        draft.counts.insert("name".to_owned(), 2);
        metrics.entry(&draft);
        let state = TenantState {
            tenant: "st-marys",
            in_flight: 1,
            log_entries: 42,
            is_log_stopped: false,
            view: Some(ViewStanding::Missing),
            set_aside: 3,
            why_closed: None,
        };
        let anchor = AnchorState {
            name: "worm",
            last: None,
            is_too_old: true,
        };
        let late: Vec<nephron_model::TenantId> = vec!["st-marys".parse().unwrap()];
        let export = ExportState {
            name: "siem",
            lag: 7,
            oldest: Duration::from_secs(90),
            set_aside: 2,
            failing: vec![(late[0].clone(), "connection-failed")],
            late,
        };
        let anchors = std::iter::once(anchor);
        let text = metrics.text(
            [state].into_iter(),
            anchors,
            &[export],
            &[],
            &BTreeMap::from([("access".to_owned(), "key-revoked")]),
        );
        for line in [
            "nephron_requests_total{api=\"chat\",outcome=\"answered\"} 1",
            "nephron_requests_total{api=\"chat\",outcome=\"denied\"} 1",
            "nephron_request_seconds_count{api=\"chat\"} 2",
            "nephron_first_byte_seconds_count{api=\"chat\"} 1",
            "nephron_entries_total{kind=\"deidentified\",outcome=\"replaced\"} 1",
            "nephron_identifiers_total{kind=\"name\"} 2",
            "nephron_in_flight{tenant=\"st-marys\"} 1",
            "nephron_log_entries{tenant=\"st-marys\"} 42",
            "nephron_log_stopped{tenant=\"st-marys\"} 0",
            "nephron_log_view{tenant=\"st-marys\",standing=\"missing\"} 1",
            "nephron_log_set_aside{tenant=\"st-marys\"} 3",
            "nephron_plugin_distrusted{plugin=\"access\",code=\"key-revoked\"} 1",
            "nephron_anchor_too_old{anchor=\"worm\"} 1",
            "nephron_export_lag{export=\"siem\"} 7",
            "nephron_export_oldest_seconds{export=\"siem\"} 90",
            "nephron_export_late{export=\"siem\"} 1",
            "nephron_export_failing{export=\"siem\"} 1",
            "nephron_export_set_aside{export=\"siem\"} 2",
        ] {
            assert!(text.lines().any(|there| there == line), "{line}\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
