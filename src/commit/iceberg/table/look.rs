//! A look at a table, as a commit of rolls takes it, without the commit.

use super::{IcebergTable, check};
use crate::commit::LogError;
use crate::commit::Visible;

impl IcebergTable {
    /// Looks whether rolls could be committed, as far as that can be known without a change: that the
    /// catalog lets this program read does not say that it lets it write. Writes nothing but the identity of
    /// a table that has none. Returns a phrase about the table. Blocks.
    ///
    /// # Errors
    /// [`Visible::Refused`] or [`Visible::Unknown`].
    pub(crate) fn look(&self) -> Result<String, Visible> {
        Ok(self.runtime.block_on(self.looked())?)
    }

    async fn looked(&self) -> Result<String, LogError> {
        let (shown, uri) = (&self.shown, self.catalog.uri());
        if let Some(table) = self.latest().await? {
            let columns = self.columns(&table)?;
            self.spec_of(&table, &columns.schema)?;
            let version = check::version(&table);
            return Ok(format!("{shown} is in the catalog {uri}, at sequence number {version}"));
        }
        self.check_empty().await?;
        let has_namespace = self.catalog.has_namespace().await;
        let has_namespace =
            has_namespace.map_err(|error| self.failed("looking for the namespace of", &error))?;
        let created = if has_namespace { "it" } else { "its namespace and it" };
        Ok(format!("{shown} is not in the catalog {uri} yet: the first commit creates {created}"))
    }
}
