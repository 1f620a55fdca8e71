//! What can go wrong with an index, by what the caller can do about it.

/// Error of an index.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The engine failed (disk full, I/O): nothing of the call was done; not ready until it works again.
    #[error("the index engine could not {doing}")]
    Engine {
        /// What was being done.
        doing: &'static str,
        /// The engine's words.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A row cannot be read: delete the index and rebuild it from the journal.
    #[error("a row of the index table {table} is damaged: {what}")]
    Damaged {
        /// Table.
        table: &'static str,
        /// What is wrong.
        what: &'static str,
    },
    /// Written by a newer program: this one must not touch it.
    #[error("the index has format {found}, this program knows formats up to {known}")]
    Newer {
        /// Format found.
        found: u32,
        /// Newest format known.
        known: u32,
    },
    /// A fact that cannot be applied: a fault in the program that recorded or read it.
    #[error("record {lsn} cannot be applied: {what}")]
    Unfit {
        /// Number of the record.
        lsn: u64,
        /// What is wrong.
        what: &'static str,
    },
}
