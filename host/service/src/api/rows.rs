//! Lists of rows of any kind.

use cairn::Object;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// How many rows a list has at most.
pub(crate) const MOST: usize = 500;

/// Rows of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Rows {
    #[schema(value_type = Vec<Object>)]
    rows: Vec<Object>,
}

impl Rows {
    pub(crate) fn new(rows: Vec<Object>) -> Self {
        Self { rows }
    }
}

/// A page of a list.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct After {
    /// After the row with this id or key; of deployments `NAME@VERSION`, of externals `PROVIDER/KIND/ID`.
    pub(crate) after: Option<String>,
}
