//! What receivers are told: images and results as ORU^R01, merges as ADT^A40, merges undone as ADT^A31, orders as ORM^O01
//! or OMG^O19.
//!
//! The same delivery gives the same bytes as long as the rows are the same: its times are those of what happened.

use super::receivers::{OrderMessage, Receiver};
use super::write::{Field, Out};
use crate::hl7::values::Moment;
use archive::charts::outbox::dispatch::Parcel;
use model::Uid;
use model::chart::outbox::WITHDRAWN;
use model::chart::{ChartBody, Content, EventKind, Match, Merge, Order, Patient, Report, ReportStatus, Side, Verdict};

/// OBX-3 of a link to the viewer.
const VIEWER: [&str; 3] = ["VIEWER", "Images", "99KHOANH"];
const DAY_SECONDS: u64 = 86_400;

/// Signs the link to a study of the patient of a number that ends at a time, in seconds since 1970 UTC: what stands behind
/// its question mark.
pub(super) type Sign<'a> = &'a dyn Fn(&Uid, &str, u64) -> Option<String>;

/// A message under way with what it is made of.
struct Making<'a> {
    parcel: &'a Parcel,
    /// The order it is told with: none where images came for one and contradict it.
    order: Option<&'a Order>,
    receiver: &'a Receiver,
    control: &'a str,
    sign: Sign<'a>,
}

/// How a study stands to the order that it is told with.
enum Standing {
    /// It is no longer the order's.
    Withdrawn,
    /// It is the order's, or has none.
    Held,
    /// It was the order's when this was to be told.
    Lost,
    /// It was never the order's: its images contradict it.
    Apart,
}

impl Standing {
    fn of(parcel: &Parcel, one: &Match) -> Self {
        let event = &parcel.delivery.event;
        let holds = one.verdict == Verdict::Matched && one.placer == event.order;
        match event.state.as_str() {
            WITHDRAWN => Self::Withdrawn,
            _ if holds || parcel.order.is_none() => Self::Held,
            state if state == Verdict::Matched.name() => Self::Lost,
            _ => Self::Apart,
        }
    }
}

/// The message of a delivery; none where the receiver is not told of such.
pub(super) fn message(
    parcel: &Parcel,
    receiver: &Receiver,
    control: &str,
    sign: Sign<'_>,
) -> Result<Option<Vec<u8>>, &'static str> {
    let mut making = Making { parcel, order: parcel.order.as_ref(), receiver, control, sign };
    let out = match (&parcel.body, parcel.delivery.event.kind) {
        (ChartBody::Match(one), EventKind::StudyAvailable | EventKind::StudyChanged) => {
            let standing = Standing::of(parcel, one);
            if matches!(standing, Standing::Apart) {
                making.order = None;
            }
            if making.order.is_none() && !receiver.unmatched {
                return Ok(None);
            }
            making.study(one, &standing)
        }
        (ChartBody::Report(report), _) => making.result(report),
        (ChartBody::Merge(merge), EventKind::Merged) => making.merged(merge),
        (ChartBody::Merge(merge), _) => making.unmerged(merge),
        (ChartBody::Order(order), _) => making.order(order)?,
        _ => return Err("there is no message for it"),
    };
    Ok(Some(out.bytes(receiver.letters)))
}

impl Making<'_> {
    fn begin(&self, kind: [&str; 3]) -> Out {
        let facility = self.parcel.facility.to_string();
        let sender = self.receiver.from.1.as_deref().unwrap_or(&facility);
        Out::new(self.receiver, kind, sender, self.control, &self.stamp(self.parcel.delivery.at))
    }

    fn stamp(&self, at: u64) -> String {
        Moment::stamp(at, self.receiver.offset)
    }

    fn number(&self, mrn: &str) -> Field {
        Field::parts(&[mrn, "", "", &self.parcel.facility.to_string(), "MR"])
    }

    fn pid(&self, patient: &Patient) -> Vec<Field> {
        let pn = patient.pn();
        let name: Vec<&str> = pn.split('^').collect();
        let birth = patient.birth.map(|birth| birth.to_string().replace('-', "")).unwrap_or_default();
        let sex = match patient.sex.dicom() {
            "" => "U",
            sex => sex,
        };
        let none = Field::default;
        vec![
            "1".into(),
            none(),
            self.number(&patient.mrn),
            none(),
            Field::parts(&name),
            none(),
            birth.into(),
            sex.into(),
        ]
    }

    /// PID, and PV1 where the visit is known.
    fn patient(&self, out: &mut Out, side: Option<&Side>) {
        let patient = match side {
            Some(Side { mrn, name, birth, sex }) => {
                Patient { mrn: mrn.clone(), name: name.clone(), birth: *birth, sex: *sex, ..Patient::default() }
            }
            None => self.parcel.patient.clone().unwrap_or_default(),
        };
        out.segment("PID", self.pid(&patient));
        if let Some(order) = self.order.filter(|order| !order.visit.is_empty()) {
            let mut fields = vec![Field::text("1"), Field::text("N"), Field::text(&order.location)];
            fields.resize(18, Field::default());
            fields.push(Field::text(&order.visit));
            out.segment("PV1", fields);
        }
    }

    /// OBR with what the order says; `about` is OBR-4 where there is no order.
    fn obr(&self, numbers: (&str, &str), about: Field, (status, at): (&str, &str)) -> Vec<Field> {
        let order = self.order;
        let (placer, filler) = numbers;
        let mut fields = vec![Field::text("1"), Field::text(placer), Field::text(filler), about];
        fields.resize(25, Field::default());
        let mut set = |number: usize, field: Field| {
            if let Some(place) = fields.get_mut(number.saturating_sub(1)) {
                *place = field;
            }
        };
        if let Some(order) = order {
            let begun = order.steps.first().map(|step| format!("{}{}", step.date, step.time)).unwrap_or_default();
            set(7, Field::text(&begun));
            set(18, Field::text(&order.accession));
        }
        if let ChartBody::Match(one) = &self.parcel.body
            && let Some(accession) = one.accession.as_ref().filter(|_| order.is_none())
        {
            set(18, Field::text(accession));
        }
        set(22, Field::text(at));
        set(25, Field::text(status));
        fields
    }

    fn study(&self, one: &Match, standing: &Standing) -> Out {
        let withdrawn = matches!(standing, Standing::Withdrawn);
        let mut out = self.begin(["ORU", "R01", "ORU_R01"]);
        let order = self.order;
        self.patient(&mut out, order.is_none().then_some(&one.of_study));
        let numbers = order.map_or(("", ""), |order| (order.placer.as_str(), order.filler.as_str()));
        let changed = self.parcel.delivery.event.kind == EventKind::StudyChanged;
        let (status, observed) = match (withdrawn, changed) {
            (true, _) => ("X", "D"),
            (false, true) => ("C", "C"),
            (false, false) => ("P", "F"),
        };
        let at = self.stamp(self.parcel.delivery.at);
        out.segment("OBR", self.obr(numbers, universal(order), (status, &at)));
        let (uid, mut number) = (one.study.as_str(), 0usize);
        let mut obx = |kind: &str, about: [&str; 3], value: Field| {
            number = number.saturating_add(1);
            out.segment("OBX", observation(number, kind, Field::parts(&about), value, observed));
        };
        obx("HD", ["113014", "DICOM Study", "DCM"], uid.into());
        if withdrawn {
            return out;
        }
        if let Some(accession) = &one.accession {
            obx("ST", ["121022", "Accession Number", "DCM"], Field::text(accession));
        }
        if let Some((series, instances)) = self.parcel.counts {
            obx("NM", ["SERIES", "Number of series", "99KHOANH"], series.to_string().into());
            obx("NM", ["INSTANCES", "Number of instances", "99KHOANH"], instances.to_string().into());
        }
        // Of what is another order's by now, which is told behind this, nobody needs the images here.
        if let Some(base) = self.receiver.viewer.as_ref().filter(|_| !matches!(standing, Standing::Lost)) {
            // What the images say may be corrected; whom the message is about is whose they are to be.
            let mrn = order.map_or(&one.of_study.mrn, |order| &order.mrn);
            let url = self.signed(&one.study, mrn);
            let url = url.unwrap_or_else(|| format!("{base}/viewer/iid?requestType=STUDY&studyUID={uid}"));
            obx("RP", VIEWER, Field::parts(&[&url, "KHOANH", "text", "html"]));
        }
        out
    }

    /// The signed link to a study of the patient of a number, where the receiver wants such and there is a key. It ends by the
    /// time of what happened, so that the message is the same whenever it is sent.
    fn signed(&self, study: &Uid, mrn: &str) -> Option<String> {
        let (base, days) = self.receiver.viewer.as_ref().zip(self.receiver.link_days)?;
        let ends = (self.parcel.delivery.at / 1_000).saturating_add(days.saturating_mul(DAY_SECONDS));
        Some(format!("{base}/viewer/iid?{}", (self.sign)(study, mrn, ends)?))
    }

    fn result(&self, report: &Report) -> Out {
        let mut out = self.begin(["ORU", "R01", "ORU_R01"]);
        self.patient(&mut out, None);
        let order = self.order;
        let (number, code) = report.number.split_once('/').unwrap_or((&report.number, ""));
        let filler = order.map(|order| order.filler.as_str()).filter(|filler| !filler.is_empty());
        let filler = filler.unwrap_or(if report.placer.is_empty() { number } else { "" });
        let (status, observed) = match report.status {
            ReportStatus::Preliminary => ("P", "P"),
            ReportStatus::Final => ("F", "F"),
            ReportStatus::Amended => ("C", "C"),
            ReportStatus::Canceled => ("X", "X"),
        };
        let at = self.stamp(report.at);
        let mut obr = self.obr((&report.placer, filler), Field::parts(&[code, &report.title]), (status, &at));
        if !report.author.is_empty() {
            obr.resize(31, Field::default());
            let pn = Patient { name: report.author.clone(), ..Patient::default() }.pn();
            let parts: Vec<&str> = std::iter::once("").chain(pn.split('^')).collect();
            obr.push(Field::subs(&parts));
        }
        out.segment("OBR", obr);
        let mut number = 0usize;
        let mut obx = |kind: &str, about: Field, value: Field| {
            number = number.saturating_add(1);
            out.segment("OBX", observation(number, kind, about, value, observed));
        };
        if let Some(study) = &report.study {
            obx("HD", Field::parts(&["113014", "DICOM Study", "DCM"]), study.as_str().into());
            let url = self.signed(study, &report.mrn);
            if let Some(url) = url.filter(|_| report.status != ReportStatus::Canceled) {
                obx("RP", Field::parts(&VIEWER), Field::parts(&[&url, "KHOANH", "text", "html"]));
            }
        }
        for content in &report.contents {
            match content {
                Content::Text { heading, text } => obx("FT", Field::parts(&["", heading]), Field::text(text)),
                Content::Document { media_type, base64 } => {
                    let (main, sub) = media_type.split_once('/').unwrap_or((media_type, ""));
                    let value = Field::parts(&["", main, sub, "Base64", base64]);
                    obx("ED", Field::parts(&["", "Document"]), value);
                }
                Content::Pointer { url } => obx("RP", Field::parts(&["", "Link"]), Field::parts(&[url])),
            }
        }
        out
    }

    fn merged(&self, merge: &Merge) -> Out {
        let mut out = self.begin(["ADT", "A40", "ADT_A39"]);
        let at = self.stamp(merge.at);
        out.segment("EVN", vec!["A40".into(), at.into()]);
        let known = self.parcel.patient.clone().filter(|patient| patient.mrn == merge.survivor);
        let survivor = known.unwrap_or_else(|| Patient { mrn: merge.survivor.clone(), ..Patient::default() });
        out.segment("PID", self.pid(&survivor));
        out.segment("MRG", vec![self.number(&merge.former)]);
        out
    }

    /// The number that was given up stands for its own patient again: HL7 has no event that says more.
    fn unmerged(&self, merge: &Merge) -> Out {
        let mut out = self.begin(["ADT", "A31", "ADT_A05"]);
        let at = merge.undone.as_ref().map_or(merge.at, |(at, _)| *at);
        out.segment("EVN", vec!["A31".into(), self.stamp(at).into()]);
        let known = self.parcel.patient.clone().filter(|patient| patient.mrn == merge.former);
        let former = known.unwrap_or_else(|| Patient { mrn: merge.former.clone(), ..Patient::default() });
        out.segment("PID", self.pid(&former));
        out.segment("PV1", vec!["1".into(), "N".into()]);
        out
    }

    fn order(&self, order: &Order) -> Result<Out, &'static str> {
        let kind = match self.receiver.order_message {
            OrderMessage::Orm => ["ORM", "O01", "ORM_O01"],
            OrderMessage::Omg => ["OMG", "O19", "OMG_O19"],
        };
        // As it was when this was to be told, whatever has become of it since.
        let status = match self.parcel.delivery.event.state.as_str() {
            "scheduled" => "SC",
            "in-progress" => "IP",
            "completed" => "CM",
            "canceled" => "CA",
            "discontinued" => "DC",
            _ => return Err("the order is in a state without a code"),
        };
        let mut out = self.begin(kind);
        self.patient(&mut out, None);
        let (none, at) = (Field::default, self.stamp(self.parcel.delivery.at));
        let text = Field::text;
        let mut orc = vec![text("SC"), text(&order.placer), text(&order.filler), none(), text(status)];
        orc.extend([none(), none(), none(), text(&at)]);
        out.segment("ORC", orc);
        out.segment("OBR", self.obr((&order.placer, &order.filler), universal(Some(order)), ("", &at)));
        Ok(out)
    }
}

/// OBR-4: what was asked for.
fn universal(order: Option<&Order>) -> Field {
    match order {
        None => Field::parts(&["113014", "DICOM Study", "DCM"]),
        Some(order) => match &order.procedure_code {
            Some(code) => Field::parts(&[&code.value, &code.meaning, &code.scheme]),
            None => Field::parts(&["", &order.procedure]),
        },
    }
}

fn observation(number: usize, kind: &str, about: Field, value: Field, status: &str) -> Vec<Field> {
    let mut fields = vec![number.to_string().into(), kind.into(), about, Field::default(), value];
    fields.resize(10, Field::default());
    fields.push(status.into());
    fields
}

#[cfg(test)]
mod tests;
