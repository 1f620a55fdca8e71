//! What an archivist has to look at: objects that were kept beside others under the same UID.

use crate::error::FindError;
use crate::open::Archive;
use index::{Cursor, InstanceRow, Page};
use model::Caller;

impl Archive {
    /// One page of conflict copies the caller may see, in order of arrival. A page may be short and still
    /// carry a cursor.
    ///
    /// # Errors
    /// [`FindError::Unavailable`] when the index does not answer.
    pub fn conflicts(
        &self,
        caller: &Caller,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<InstanceRow>, FindError> {
        let mut page = self.index().conflicts(after, limit)?;
        page.rows.retain(|row| caller.may_see(row.key.study.facility) && row.is_shown(caller.sees_rejected));
        let mut shown = Vec::with_capacity(page.rows.len());
        for row in page.rows {
            if self.index().study(&row.key.study)?.is_none_or(|study| study.hidden_by.is_none()) {
                shown.push(row);
            }
        }
        page.rows = shown;
        Ok(page)
    }
}
