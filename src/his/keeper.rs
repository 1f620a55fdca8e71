//! What the edge asks of the archive: to take a message, and little more.
//!
//! A trait, so that tests of the wire need no archive.

use archive::Archive;
use archive::charts::{ChartDriver, ChartError, ChartQuery, Receipt};
use model::chart::{ChartBody, ChartKey, ChartKind, Inbound, Order, Term, term};
use model::{Caller, FacilityCode};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Where messages go.
pub(crate) trait Keeper: Send + Sync + 'static {
    /// Whether a facility is registered and may send today.
    fn takes_for(&self, facility: FacilityCode) -> bool;

    /// Takes a message: durable on return.
    fn receive(&self, facility: FacilityCode, message: Inbound) -> Result<Receipt, ChartError>;

    /// The same of a message that is rejected as it stands.
    fn reject(&self, facility: FacilityCode, message: Inbound) -> Result<Receipt, ChartError>;

    /// An order by its placer's number.
    fn order(&self, facility: FacilityCode, placer: &str) -> Result<Option<Order>, ChartError>;

    /// The placer's number of the order with a filler's number.
    fn placer(&self, facility: FacilityCode, filler: &str) -> Result<Option<String>, ChartError>;
}

impl Keeper for Arc<Archive> {
    fn takes_for(&self, facility: FacilityCode) -> bool {
        Archive::takes_for(self, facility)
    }

    fn receive(&self, facility: FacilityCode, message: Inbound) -> Result<Receipt, ChartError> {
        self.charts().receive(facility, message)
    }

    fn reject(&self, facility: FacilityCode, message: Inbound) -> Result<Receipt, ChartError> {
        self.charts().receive_rejected(facility, message)
    }

    fn order(&self, facility: FacilityCode, placer: &str) -> Result<Option<Order>, ChartError> {
        let key = ChartKey::new(ChartKind::Order, facility, placer);
        let key = key.map_err(|error| ChartError::Invalid(error.to_string()))?;
        Ok(match self.charts().get(&Caller::operator(), &key)?.map(|row| row.body) {
            Some(ChartBody::Order(order)) => Some(*order),
            _ => None,
        })
    }

    fn placer(&self, facility: FacilityCode, filler: &str) -> Result<Option<String>, ChartError> {
        let query = ChartQuery {
            kind: ChartKind::Order,
            facilities: Some(BTreeSet::from([facility])),
            driver: ChartDriver::Equal(Term::Filler, term::value(filler)),
            moments: None,
            years: None,
        };
        // The newest; two orders with one filler's number are the filler's mistake.
        let page = self.charts().find(&Caller::operator(), &query, None, 1)?;
        Ok(page.rows.into_iter().find_map(|row| match row.body {
            ChartBody::Order(order) => Some(order.placer),
            _ => None,
        }))
    }
}
