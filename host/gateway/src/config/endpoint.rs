//! `[[endpoint]]`: who answers, and where.

use super::associate::{Known, region};
use super::names::Names;
use super::plugin::PluginKind;
use super::reader::{Table, Value};
use super::upstream::{Reach, Upstream};

/// Somewhere that answers: a server behind a connector, or a connector that answers inside the sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its name, as routes, agreements, policies and the log write it.
    pub name: String,
    /// Name of the plugin, of kind connector, that speaks to it.
    pub connector: String,
    /// Where it is; without one the connector answers inside the sandbox and nothing leaves.
    pub upstream: Option<Upstream>,
    /// Name of the associate who runs it; there is one exactly if there is a URL.
    pub associate: Option<String>,
    /// Whether it may get what nothing here can search, such as images: under an agreement, and never without.
    pub may_see_phi: bool,
    /// Where it works: an ISO 3166 code, or the operator's own word.
    pub region: Option<String>,
    /// How often it is asked again when it cannot be reached, or says that it cannot serve now.
    pub retries: u64,
}

impl Endpoint {
    pub(super) fn read<'a>(table: &mut Table<'a>, known: &Known<'a, '_>) -> Option<Self> {
        let name = table
            .required("name", "name = \"local\"")
            .and_then(|value| value.name());
        let connector = table.required("connector", "connector = \"name of a plugin\"");
        let connector =
            connector.and_then(|value| of_kind(&value, known.plugins, &[PluginKind::Connector]));
        let url = table.value("url");
        let associate = table.value("associate");
        let place = table.value("region");
        let reach = Reach::read_answering(table);
        let may_see_phi = table.flag("may-see-phi");
        if url.is_none() && may_see_phi {
            table.fault("has `may-see-phi` and no `url`: its connector answers inside the sandbox, where no bytes of images, audio or files get to; add `url`, or remove it");
        }
        if url.is_some() {
            if associate.is_none() {
                table.missing("associate", "associate = \"name of who runs it\"");
            }
        } else {
            let own = [&associate, &place].into_iter().flatten();
            for value in own.chain(reach.values()) {
                value.fault("stands at an endpoint without `url`, whose connector answers inside the sandbox; add `url`, or remove it");
            }
        }
        let retries = table.count("retries", 0..=3, 0);
        let upstream = url.and_then(|url| reach.upstream(name.clone(), &url, "bedrock"));
        let associate = associate
            .and_then(|value| known.associates.find(&value))
            .map(|found| found.name.to_owned());
        Some(Self {
            name: name?,
            connector: connector?,
            upstream,
            associate,
            may_see_phi,
            region: place.as_ref().and_then(region),
            retries,
        })
    }
}

/// The name of a plugin that must be of one of these kinds.
pub(super) fn of_kind<'a>(
    value: &Value<'a>,
    plugins: &Names<'a>,
    kinds: &[PluginKind],
) -> Option<String> {
    let found = plugins.find(value)?;
    if let Some(kind) = found.peek("kind").and_then(PluginKind::of_word)
        && !kinds.contains(&kind)
    {
        let wanted: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
        value.fault(format_args!(
            "names plugin `{}` of kind {}; name one of kind {}",
            found.name,
            kind.as_str(),
            wanted.join(" or ")
        ));
        return None;
    }
    Some(found.name.to_owned())
}

/// Free text on one line: an agreement's id, a model's name.
pub(super) fn plain_text(value: &Value<'_>) -> Option<String> {
    value.text_that(
        "must be 1 to 200 characters without control characters",
        |text| (1..=200).contains(&text.chars().count()) && !text.chars().any(char::is_control),
    )
}
