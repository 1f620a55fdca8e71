//! What an archivist should know of a decision, in words.

use super::{ClassId, Date, RuleId};
use serde::{Deserialize, Serialize};

/// A remark on a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "note", rename_all = "kebab-case")]
pub enum Note {
    /// The study has no date; the day of receipt counts.
    StudyDateMissing,
    /// The study's date is no real day; the day of receipt counts.
    StudyDateUnreadable,
    /// The study's date lies after its receipt; the day of receipt counts.
    StudyDateFuture {
        /// The date written.
        date: Date,
    },
    /// The study's date lies before there were digital images; the day of receipt counts.
    StudyDateTooOld {
        /// The date written.
        date: Date,
    },
    /// The study's date lies before the patient's birth; the day of receipt counts.
    StudyDateBeforeBirth {
        /// The date written.
        date: Date,
    },
    /// Images that came after the study was destroyed: their own receipt counts.
    AfterDestruction,
    /// The birth date lies after the receipt and was not used.
    BirthDateIgnored,
    /// The day of death lies ahead, or before the birth, and was not used.
    DeathDateIgnored,
    /// A date of series or instances lies after their receipt and was not used.
    WorkEndedIgnored,
    /// The day a linked record was closed lies ahead and was not used.
    RecordEndIgnored {
        /// Class of the record.
        class: ClassId,
    },
    /// The age at the study is not known: the rule was applied, which keeps longer.
    AgeUnknown {
        /// The rule.
        rule: RuleId,
    },
    /// A linked record has a class that the rule set does not define: the study is not destroyed until a person has
    /// looked.
    UnknownClass {
        /// The class.
        class: ClassId,
    },
    /// The class is defined, but was in force on no day of this study's life.
    ClassNotInForce {
        /// The class.
        class: ClassId,
    },
    /// Nothing known today gives this class, or gives it this long: it is kept from an earlier decision.
    Carried {
        /// The class.
        class: ClassId,
        /// Number of the rule set that gave it.
        version: u32,
    },
}

impl Note {
    /// The remark in English.
    pub fn english(&self) -> String {
        match self {
            Self::StudyDateMissing => "the study has no date; counted from its receipt".into(),
            Self::StudyDateUnreadable => "the study's date is no real day; counted from its receipt".into(),
            Self::StudyDateFuture { date } => {
                format!("the study's date {date} lies after its receipt; counted from its receipt")
            }
            Self::StudyDateTooOld { date } => {
                format!("the study's date {date} lies before digital images; counted from its receipt")
            }
            Self::StudyDateBeforeBirth { date } => {
                format!("the study's date {date} lies before the patient's birth; counted from its receipt")
            }
            Self::AfterDestruction => "came after the study was destroyed; counted from its own receipt".into(),
            Self::BirthDateIgnored => "the birth date lies after the receipt and was not used".into(),
            Self::DeathDateIgnored => "the day of death cannot be true and was not used".into(),
            Self::WorkEndedIgnored => "a date of its series lies after their receipt and was not used".into(),
            Self::RecordEndIgnored { class } => {
                format!("the closing day of the {class} record lies ahead and was not used")
            }
            Self::AgeUnknown { rule } => format!("the age is not known; rule {rule} was applied, which keeps longer"),
            Self::UnknownClass { class } => {
                format!("a linked record has class {class}, which is not defined: a person must look")
            }
            Self::ClassNotInForce { class } => format!("class {class} was in force on no day of this study's life"),
            Self::Carried { class, version } => {
                format!("class {class} is carried from an earlier decision (rule set {version}): a class never falls")
            }
        }
    }

    /// The remark in Vietnamese.
    pub fn vietnamese(&self) -> String {
        match self {
            Self::StudyDateMissing => "ca chụp không có ngày; tính từ ngày tiếp nhận".into(),
            Self::StudyDateUnreadable => "ngày chụp không hợp lệ; tính từ ngày tiếp nhận".into(),
            Self::StudyDateFuture { date } => {
                format!("ngày chụp {date} sau ngày tiếp nhận; tính từ ngày tiếp nhận")
            }
            Self::StudyDateTooOld { date } => {
                format!("ngày chụp {date} trước thời có ảnh số; tính từ ngày tiếp nhận")
            }
            Self::StudyDateBeforeBirth { date } => {
                format!("ngày chụp {date} trước ngày sinh; tính từ ngày tiếp nhận")
            }
            Self::AfterDestruction => "ảnh đến sau khi ca chụp đã hủy; tính từ ngày tiếp nhận của ảnh".into(),
            Self::BirthDateIgnored => "ngày sinh sau ngày tiếp nhận, không sử dụng".into(),
            Self::DeathDateIgnored => "ngày tử vong không thể đúng, không sử dụng".into(),
            Self::WorkEndedIgnored => "ngày của một chuỗi ảnh sau ngày tiếp nhận, không sử dụng".into(),
            Self::RecordEndIgnored { class } => {
                format!("ngày kết thúc hồ sơ loại {class} ở tương lai, không sử dụng")
            }
            Self::AgeUnknown { rule } => format!("không rõ tuổi; vẫn áp dụng quy tắc {rule} để lưu lâu hơn"),
            Self::UnknownClass { class } => {
                format!("hồ sơ liên kết thuộc loại {class} chưa được định nghĩa: cần người xem xét")
            }
            Self::ClassNotInForce { class } => {
                format!("loại {class} không có hiệu lực vào ngày nào của ca chụp này")
            }
            Self::Carried { class, version } => {
                format!("loại {class} giữ từ quyết định trước (bộ quy tắc {version}): loại không bao giờ hạ")
            }
        }
    }
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.english())
    }
}
