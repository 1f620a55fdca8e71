//! Application acknowledgements of orders: ORR^O02, ORI^O24 and ORG^O20, by which a placer learns the numbers that the
//! archive gave.
//!
//! Without a patient's data, and in ASCII like all that is ours: an order of which a number is no ASCII is left out.

use super::escape;
use super::message::Separators;
use model::chart::{Order, OrderAction, OrderState, Step};

/// The type of an acknowledgement, by that of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Of ORM^O01.
    Orr,
    /// Of OMI^O23.
    Ori,
    /// Of OMG^O19.
    Org,
}

impl Form {
    /// Of a request's type (MSH-9.1).
    pub fn of(code: &str) -> Option<Self> {
        match code {
            "ORM" => Some(Self::Orr),
            "OMI" => Some(Self::Ori),
            "OMG" => Some(Self::Org),
            _ => None,
        }
    }

    /// Type, trigger and structure.
    pub const fn kind(self) -> [&'static str; 3] {
        match self {
            Self::Orr => ["ORR", "O02", "ORR_O02"],
            Self::Ori => ["ORI", "O24", "ORI_O24"],
            Self::Org => ["ORG", "O20", "ORG_O20"],
        }
    }
}

/// What is answered beside the acknowledgement itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// Its type.
    pub form: Form,
    /// The orders as they stand now, with what was asked of each; none where the request had no effect.
    pub orders: Vec<(OrderAction, Order)>,
}

impl Response {
    /// The segments behind MSA and ERR.
    pub fn segments(&self, separators: &Separators) -> Vec<Vec<u8>> {
        let of = |(action, order): &(OrderAction, Order)| group(self.form, *action, order, separators);
        self.orders.iter().filter_map(of).flatten().map(String::into_bytes).collect()
    }
}

/// One order; none where a number of it is no ASCII.
fn group(form: Form, action: OrderAction, order: &Order, separators: &Separators) -> Option<Vec<String>> {
    let numbers = [&order.placer, &order.filler, &order.accession, &order.procedure_id];
    let ids = order.steps.iter().flat_map(|step| [&step.id, &step.modality]);
    if !numbers.into_iter().chain(ids).all(|number| number.is_ascii()) {
        return None;
    }
    let value = |text: &str| escape::encode(text, separators);
    let parts = |parts: &[&str]| {
        let parts: Vec<String> = parts.iter().map(|part| value(part)).collect();
        parts.join(&separators.component.to_string())
    };
    let line = |name: &str, fields: &[(usize, String)]| {
        let last = fields.iter().map(|(number, _)| *number).max().unwrap_or_default();
        let at = |number: usize| fields.iter().find(|(of, _)| *of == number).map_or("", |(_, text)| text.as_str());
        let all: Vec<&str> = [name].into_iter().chain((1..=last).map(at)).collect();
        all.join(&separators.field.to_string())
    };
    let (placer, filler) = (value(&order.placer), value(&order.filler));
    let orc =
        [(1, control(action).to_owned()), (2, placer.clone()), (3, filler.clone()), (5, state(order.state).to_owned())];
    let code = order.procedure_code.as_ref().filter(|code| code.value.is_ascii() && code.scheme.is_ascii());
    let code = code.map_or_else(String::new, |code| parts(&[&code.value, "", &code.scheme]));
    let mut obr = vec![(1, "1".to_owned()), (2, placer), (3, filler), (4, code)];
    let study = order.study.as_str();
    if form == Form::Ori {
        let ipc = |step: &Step| {
            let numbers = [order.accession.as_str(), &order.procedure_id, study, &step.id, &step.modality];
            let fields: Vec<_> = numbers.into_iter().map(&value).enumerate().map(|(at, text)| (at + 1, text)).collect();
            line("IPC", &fields)
        };
        let steps: Vec<String> = order.steps.iter().map(ipc).collect();
        return Some([vec![line("ORC", &orc), line("OBR", &obr)], steps].concat());
    }
    obr.extend([(18, value(&order.accession)), (19, value(&order.procedure_id))]);
    if let [step] = order.steps.as_slice() {
        obr.push((20, value(&step.id)));
    }
    let zds = [(1, parts(&[study, "", "Application", "DICOM"]))];
    Some(vec![line("ORC", &orc), line("OBR", &obr), line("ZDS", &zds)])
}

/// ORC-1: done as requested.
const fn control(action: OrderAction) -> &'static str {
    match action {
        OrderAction::New | OrderAction::Status(_) | OrderAction::Unbook => "OK",
        OrderAction::Change => "XR",
        OrderAction::Cancel => "CR",
        OrderAction::Discontinue => "DR",
    }
}

/// ORC-5.
const fn state(state: OrderState) -> &'static str {
    match state {
        OrderState::Scheduled => "SC",
        OrderState::InProgress => "IP",
        OrderState::Completed => "CM",
        OrderState::Canceled => "CA",
        OrderState::Discontinued => "DC",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hl7::Head;
    use crate::hl7::ack::{Verdict, answer_with};
    use crate::hl7::fault::Fault;
    use model::Uid;

    /// An order with numbers of the archive.
    fn order() -> Order {
        let order = r#"
            placer = "DC1|1"
            mrn = "22"
            accession = "K012345678"
            study = "2.25.7"
            procedure_id = "RP1"
            procedure = "CT ngực"
            procedure_code = { value = "1.04", scheme = "QD1227", meaning = "CT ngực" }
            steps = [{ id = "S1", modality = "CT" }]
            placed = 1
        "#;
        toml::from_str(order).expect("an order")
    }

    fn said(line: &str, verdict: &Verdict, orders: Vec<(OrderAction, Order)>) -> Vec<String> {
        let head = Head::read(line.as_bytes()).expect("a head");
        let form = Form::of(head.ascii(9).split('^').next().unwrap_or_default()).expect("an order");
        let bytes = answer_with(Some(&head), verdict, Some(&Response { form, orders }), 1_795_842_000_000, 420, "K1");
        let text = String::from_utf8(bytes.expect("an answer")).expect("ASCII");
        text.split_terminator('\r').map(str::to_owned).collect()
    }

    #[test]
    fn a_placer_is_told_the_numbers_of_its_order() {
        let taken = Verdict::Taken(Vec::new());
        let orm = said("MSH|^~\\&|HIS|BV|||||ORM^O01|17|P|2.3.1", &taken, vec![(OrderAction::New, order())]);
        let expected = [
            "MSH|^~\\&|KHOANH||HIS|BV|20261128120000||ORR^O02|K1|P|2.3.1",
            "MSA|AA|17",
            "ORC|OK|DC1\\F\\1|||SC",
            "OBR|1|DC1\\F\\1||1.04^^QD1227||||||||||||||K012345678|RP1|S1",
            "ZDS|2.25.7^^Application^DICOM",
        ];
        assert_eq!(orm, expected);
        let omi = said("MSH|^~\\&|HIS|BV|||||OMI^O23^OMI_O23|17|P|2.5.1", &taken, vec![(OrderAction::Change, order())]);
        assert!(omi[0].contains("|ORI^O24^ORI_O24|"), "{omi:?}");
        let rest = ["ORC|XR|DC1\\F\\1|||SC", "OBR|1|DC1\\F\\1||1.04^^QD1227", "IPC|K012345678|RP1|2.25.7|S1|CT"];
        assert_eq!(omi[2..], rest);
        let omg = said("MSH|^~\\&|HIS|BV|||||OMG^O19|17|P|2.5", &taken, vec![(OrderAction::Cancel, order())]);
        assert!(omg[0].contains("|ORG^O20^ORG_O20|") && omg[2].starts_with("ORC|CR|"), "{omg:?}");
        assert!(omg[4].starts_with("ZDS|2.25.7"), "{omg:?}");
    }

    #[test]
    fn what_is_no_ascii_is_left_out_and_a_refusal_or_an_accept_acknowledgement_names_no_order() {
        let odd = Order { placer: "ĐC1".into(), study: Uid::parse("1.2").expect("a UID"), ..order() };
        let line = "MSH|^~\\&|HIS|BV|||||ORM^O01|17|P|2.5.1";
        let told = said(line, &Verdict::Taken(Vec::new()), vec![(OrderAction::New, odd), (OrderAction::New, order())]);
        assert_eq!(told.iter().filter(|line| line.starts_with("ORC|")).count(), 1, "{told:?}");
        let refused = said(line, &Verdict::Refused(Fault::missing("ORC", 2, "x")), Vec::new());
        assert!(refused[0].contains("|ORR^O02^ORR_O02|") && refused.len() == 3, "{refused:?}");
        let accept = format!("{line}|||AL|NE");
        let accepted = said(&accept, &Verdict::Taken(Vec::new()), vec![(OrderAction::New, order())]);
        assert!(accepted[0].contains("|ACK^O01^ACK|") && accepted.len() == 2, "{accepted:?}");
    }
}
