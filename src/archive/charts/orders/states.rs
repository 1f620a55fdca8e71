//! States of an order and its steps: what happens to them, and in which direction they go.

use crate::charts::times;
use model::chart::{Order, OrderAction, OrderState, StepUpdate};

/// Milliseconds of a minute.
const MINUTE_MS: u64 = 60_000;

/// What a message's action does to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::charts) enum Effect {
    /// It begins to exist.
    Create,
    /// It is not known: the message waits.
    Wait,
    /// It takes what is said.
    Change,
    /// It has ended: what is said is only compared.
    Compare,
    /// It is in progress.
    Begin,
    /// It ends so.
    End(OrderState),
    /// Its appointment is taken back.
    Unbook,
    /// It is so already.
    Nothing,
    /// It stays as it is, and the sender is told.
    Keep,
    /// The message is refused: its sender believes something that is not so.
    Refuse,
}

/// What an action does to an order in a state; none: there is no such order.
pub(in crate::charts) const fn decide(action: OrderAction, state: Option<OrderState>) -> Effect {
    use OrderState::{Canceled, Completed, Discontinued, InProgress, Scheduled};
    let Some(state) = state else {
        return if matches!(action, OrderAction::New) { Effect::Create } else { Effect::Wait };
    };
    let wish = match action {
        OrderAction::New | OrderAction::Change => {
            return if state.is_open() { Effect::Change } else { Effect::Compare };
        }
        OrderAction::Unbook => return if state.is_open() { Effect::Unbook } else { Effect::Nothing },
        OrderAction::Cancel => Canceled,
        OrderAction::Discontinue => Discontinued,
        OrderAction::Status(state) => state,
    };
    match (wish, state) {
        (Scheduled, Scheduled)
        | (InProgress, InProgress)
        | (Completed, Completed)
        | (Canceled, Canceled)
        | (Discontinued, Discontinued) => Effect::Nothing,
        (InProgress, Scheduled) => Effect::Begin,
        (Completed | Discontinued, Scheduled | InProgress) | (Canceled, Scheduled) => Effect::End(wish),
        (Canceled, InProgress | Completed) | (Discontinued, Completed) => Effect::Refuse,
        (Scheduled, _) | (InProgress, _) | (Completed | Canceled | Discontinued, _) => Effect::Keep,
    }
}

/// Ends an order and whatever of it is open.
pub(in crate::charts) fn end(order: &mut Order, state: OrderState) {
    order.state = state;
    order.steps.iter_mut().filter(|step| step.state.is_open()).for_each(|step| step.state = state);
}

/// An order has begun; which of several steps, nobody said.
pub(in crate::charts) fn begin(order: &mut Order) {
    if let [only] = order.steps.as_mut_slice()
        && only.state == OrderState::Scheduled
    {
        only.state = OrderState::InProgress;
    }
    if order.state == OrderState::Scheduled {
        order.state = OrderState::InProgress;
    }
}

/// Nobody is expected for what of an order is open, where it has the appointment that is said, by a number that is known of
/// both, else by the minute it begins; one that says neither is any. Whether that is new, and whether all that is open has
/// another appointment.
pub(in crate::charts) fn unbook(order: &mut Order, said: Option<&StepUpdate>, utc_offset: i8) -> (bool, bool) {
    let start = said.and_then(|said| said.start.as_ref());
    let start = start.and_then(|(date, time)| times::moment(date, time, utc_offset)).map(|(.., start)| start);
    let numbers = said.and_then(|said| said.appointment.as_ref());
    let (mut is_new, mut is_one, mut is_other) = (false, false, false);
    for step in order.steps.iter_mut().filter(|step| step.state.is_open()) {
        let by_number = numbers.and_then(|numbers| numbers.is(&step.appointment));
        let by_start = start.map(|start| start / MINUTE_MS == step.start / MINUTE_MS);
        if by_number.or(by_start).unwrap_or(true) {
            is_new |= !step.unbooked;
            (step.unbooked, is_one) = (true, true);
        } else {
            is_other = true;
        }
    }
    (is_new, is_other && !is_one)
}

/// Brings an order to where its steps are; never back.
pub(in crate::charts) fn follow(order: &mut Order) {
    if !order.state.is_open() {
        return;
    }
    let has = |state: OrderState| order.steps.iter().any(|step| step.state == state);
    let ended = !order.steps.is_empty() && order.steps.iter().all(|step| !step.state.is_open());
    order.state = match ended {
        true if has(OrderState::Completed) => OrderState::Completed,
        true if has(OrderState::Discontinued) => OrderState::Discontinued,
        true => OrderState::Canceled,
        false if order.steps.iter().any(|step| step.state != OrderState::Scheduled) => OrderState::InProgress,
        false => order.state,
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use OrderState::{Canceled, Completed, Discontinued, InProgress, Scheduled};

    #[test]
    fn every_action_in_every_state() {
        use Effect::{Begin, Change, Compare, Create, End, Keep, Nothing, Refuse, Unbook, Wait};
        let states = [None, Some(Scheduled), Some(InProgress), Some(Completed), Some(Canceled), Some(Discontinued)];
        let table = [
            (OrderAction::New, [Create, Change, Change, Compare, Compare, Compare]),
            (OrderAction::Change, [Wait, Change, Change, Compare, Compare, Compare]),
            (OrderAction::Cancel, [Wait, End(Canceled), Refuse, Refuse, Nothing, Keep]),
            (OrderAction::Discontinue, [Wait, End(Discontinued), End(Discontinued), Refuse, Keep, Nothing]),
            (OrderAction::Status(Scheduled), [Wait, Nothing, Keep, Keep, Keep, Keep]),
            (OrderAction::Status(InProgress), [Wait, Begin, Nothing, Keep, Keep, Keep]),
            (OrderAction::Status(Completed), [Wait, End(Completed), End(Completed), Nothing, Keep, Keep]),
            (OrderAction::Status(Canceled), [Wait, End(Canceled), Refuse, Refuse, Nothing, Keep]),
            (OrderAction::Status(Discontinued), [Wait, End(Discontinued), End(Discontinued), Refuse, Keep, Nothing]),
            (OrderAction::Unbook, [Wait, Unbook, Unbook, Nothing, Nothing, Nothing]),
        ];
        for (action, expected) in table {
            for (state, effect) in states.into_iter().zip(expected) {
                assert_eq!(decide(action, state), effect, "{action:?} of {state:?}");
            }
        }
    }
}
