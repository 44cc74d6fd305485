//! What the API server says of a pod, as its events have it: made once when it changes, not for every event.

use vrl::value::{ObjectMap, Value};

/// Fields that stand in `kubernetes` beside those that the path says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    fields: ObjectMap,
    /// The same as members of a JSON object: `"pod_ip":"10.0.0.1","pod_labels":{…}`.
    members: String,
    partial: bool,
}

impl Metadata {
    /// Of these fields. Where something of the pod is not known yet, `enrichment` says so.
    pub fn new(mut fields: ObjectMap, is_partial: bool) -> Self {
        if is_partial {
            fields.insert("enrichment".into(), "partial".into());
        }
        // Text and objects of text can always be written to memory.
        let object = serde_json::to_string(&fields).unwrap_or_default();
        let members = object.trim_start_matches('{').strip_suffix('}').unwrap_or_default().to_owned();
        Self { fields, members, partial: is_partial }
    }

    /// What [`members`](Self::members) gave.
    pub(crate) fn parse(members: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(&format!("{{{members}}}")).ok()?;
        let fields = value.into_object()?;
        let is_partial = fields.contains_key("enrichment");
        Some(Self::new(fields, is_partial))
    }

    /// The fields, for VRL.
    pub fn fields(&self) -> &ObjectMap {
        &self.fields
    }

    /// The fields as members of a JSON object, without its braces.
    pub fn members(&self) -> &str {
        &self.members
    }

    /// Whether something of the pod was not known.
    pub fn is_partial(&self) -> bool {
        self.partial
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let labels =
            ObjectMap::from([("app".into(), "web".into()), ("app.kubernetes.io/name".into(), "{\"".into())]);
        for fields in [ObjectMap::new(), ObjectMap::from([("pod_labels".into(), Value::Object(labels))])] {
            for is_partial in [false, true] {
                let metadata = Metadata::new(fields.clone(), is_partial);
                assert_eq!(Metadata::parse(metadata.members()), Some(metadata));
            }
        }
        assert_eq!(Metadata::parse("\"a\":"), None);
    }
}
