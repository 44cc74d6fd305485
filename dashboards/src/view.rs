//! Data views: which indices a panel reads.

use serde_json::json;

use crate::fields::{COUNTS, Fields, LOGS, RESULTS};
use crate::object::{Kind, SavedObject, Scope};

/// The data views of an environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    Results,
    Logs,
    Counts,
}

impl View {
    pub(crate) const ALL: [Self; 3] = [Self::Results, Self::Logs, Self::Counts];

    pub(crate) fn fields(self) -> Fields<'static> {
        match self {
            Self::Results => RESULTS,
            Self::Logs => LOGS,
            Self::Counts => COUNTS,
        }
    }

    pub(crate) fn id(self, scope: Scope<'_>) -> String {
        scope.id(Kind::DataView, self.fields().prefix)
    }

    pub(crate) fn object(self, scope: Scope<'_>) -> SavedObject {
        let alias = self.fields().alias(scope.environment);
        let attributes = json!({
            "allowNoIndex": true,
            "fieldAttrs": "{}",
            "fieldFormatMap": "{}",
            "fields": "[]",
            "name": alias,
            "runtimeFieldMap": "{}",
            "sourceFilters": "[]",
            "timeFieldName": "@timestamp",
            "title": alias,
            "typeMeta": "{}",
        });
        SavedObject { kind: Kind::DataView, id: self.id(scope), attributes, references: Vec::new() }
    }
}
