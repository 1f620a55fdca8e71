//! Every reason why a plan, or one study of it, does not go the next step, in plain words.
//!
//! Refusals are recorded: in year 12 they explain why a study was still there.

use super::class::ClassId;
use super::decision::Due;
use super::hold::HoldId;
use super::plan::PlanId;
use super::subject::{Person, StudyVersion};
use crate::Digest;
use crate::date::Date;
use serde::{Deserialize, Serialize};

/// Why something is not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "refusal", rename_all = "kebab-case")]
pub enum Refusal {
    /// The author of a plan approves it.
    ApprovedByAuthor {
        /// The author.
        by: Person,
    },
    /// The plan is approved already.
    AlreadyApproved {
        /// By whom.
        by: Person,
    },
    /// The plan is not approved.
    NotApproved,
    /// The text at hand is not the text that was made or approved.
    PlanChanged {
        /// Digest recorded.
        recorded: Digest,
        /// Digest of the text at hand.
        found: Digest,
    },
    /// An approval or execution of another plan.
    OtherPlan {
        /// The plan named.
        named: PlanId,
    },
    /// The plan was withdrawn.
    Withdrawn {
        /// By whom.
        by: Person,
    },
    /// The plan is being executed or was executed.
    ExecutedTwice {
        /// When the execution began, milliseconds since 1970 UTC.
        begun: u64,
    },
    /// The execution has not begun.
    NotBegun,
    /// The last day of keeping is not over.
    NotDue {
        /// When it may go.
        due: Due,
        /// Today.
        today: Date,
    },
    /// A legal hold stands on the study.
    NewHold {
        /// The holds.
        holds: Vec<HoldId>,
    },
    /// Something arrived for the study after the plan was made.
    LateArrival {
        /// In the plan.
        planned: StudyVersion,
        /// Now.
        now: StudyVersion,
    },
    /// The study was merged, moved, corrected or had an instance rejected after the plan was made.
    StudyChanged {
        /// In the plan.
        planned: StudyVersion,
        /// Now.
        now: StudyVersion,
    },
    /// The study must be kept longer than the plan says.
    ClassRise {
        /// Class in the plan.
        from: ClassId,
        /// Class now.
        to: ClassId,
        /// When it may go now.
        due: Due,
    },
    /// A linked record has a class that is not defined.
    Unclear,
    /// A series of another study stands in it, or one of it in a study that must be kept.
    SeriesMoved,
    /// The study is hidden by another plan.
    HiddenByOther {
        /// That plan.
        plan: PlanId,
    },
    /// The study is not in the archive any more.
    Gone,
    /// The days to undo are not over.
    UndoWindow {
        /// First moment at which it may be destroyed, milliseconds since 1970 UTC.
        until: u64,
    },
    /// The study is not hidden: it cannot be destroyed or restored.
    NotHidden,
    /// The study is hidden already.
    AlreadyHidden,
    /// The study was taken out of the plan, by undo or by an earlier refusal.
    TakenOut,
    /// The study is destroyed already.
    AlreadyDestroyed,
}

impl Refusal {
    /// Whether it takes the study out of the plan for good. The others mean: not now, or not this plan at all.
    pub fn takes_out(&self) -> bool {
        matches!(
            self,
            Self::NewHold { .. }
                | Self::LateArrival { .. }
                | Self::StudyChanged { .. }
                | Self::ClassRise { .. }
                | Self::Unclear
                | Self::SeriesMoved
                | Self::HiddenByOther { .. }
                | Self::Gone
        )
    }

    /// The reason in Vietnamese.
    pub fn vietnamese(&self) -> String {
        match self {
            Self::ApprovedByAuthor { by } => format!("người lập kế hoạch ({by}) không được tự phê duyệt"),
            Self::AlreadyApproved { by } => format!("kế hoạch đã được {by} phê duyệt"),
            Self::NotApproved => "kế hoạch chưa được phê duyệt".into(),
            Self::PlanChanged { .. } => "nội dung kế hoạch khác với bản đã lập hoặc đã phê duyệt".into(),
            Self::OtherPlan { named } => format!("nêu tên kế hoạch khác: {named}"),
            Self::Withdrawn { by } => format!("kế hoạch đã được {by} rút lại"),
            Self::ExecutedTwice { .. } => "kế hoạch đang hoặc đã được thực hiện; không thực hiện lần hai".into(),
            Self::NotBegun => "chưa bắt đầu thực hiện kế hoạch".into(),
            Self::NotDue { due, today } => format!("hôm nay {today} chưa hết thời hạn lưu trữ ({due})"),
            Self::NewHold { holds } => format!("ca chụp đang bị giữ theo yêu cầu pháp lý: {}", list(holds)),
            Self::LateArrival { .. } => "có ảnh đến sau khi lập kế hoạch".into(),
            Self::StudyChanged { .. } => "ca chụp đã được gộp, chuyển hoặc sửa sau khi lập kế hoạch".into(),
            Self::ClassRise { from, to, due } => {
                format!("loại lưu trữ đã tăng từ {from} lên {to}; thời hạn mới: {due}")
            }
            Self::Unclear => "hồ sơ liên kết thuộc loại chưa được định nghĩa: cần người xem xét".into(),
            Self::SeriesMoved => {
                "có loạt ảnh được chuyển đến từ ca chụp khác, hoặc chuyển sang ca chụp còn phải giữ: chúng được hủy cùng ca chụp gốc khi cả hai đều hết hạn".into()
            }
            Self::HiddenByOther { plan } => format!("ca chụp đã bị ẩn bởi kế hoạch {plan}"),
            Self::Gone => "ca chụp không còn trong kho".into(),
            Self::UndoWindow { until } => format!("còn trong thời hạn hoàn tác, đến hết {}", last_day(*until)),
            Self::NotHidden => "ca chụp chưa bị ẩn".into(),
            Self::AlreadyHidden => "ca chụp đã bị ẩn".into(),
            Self::TakenOut => "ca chụp đã được đưa ra khỏi kế hoạch".into(),
            Self::AlreadyDestroyed => "ca chụp đã bị hủy".into(),
        }
    }
}

fn list(holds: &[HoldId]) -> String {
    holds.iter().map(HoldId::as_str).collect::<Vec<_>>().join(", ")
}

/// The day on which an undo window ends, for people.
fn last_day(until: u64) -> Date {
    Date::of_ms(until.saturating_sub(1))
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ApprovedByAuthor { by } => write!(f, "{by} made the plan and cannot approve it"),
            Self::AlreadyApproved { by } => write!(f, "the plan is already approved by {by}"),
            Self::NotApproved => f.write_str("the plan is not approved"),
            Self::PlanChanged { recorded, found } => {
                write!(f, "the plan's text was changed: its digest is {found}, recorded is {recorded}")
            }
            Self::OtherPlan { named } => write!(f, "another plan is named: {named}"),
            Self::Withdrawn { by } => write!(f, "the plan was withdrawn by {by}"),
            Self::ExecutedTwice { begun } => {
                write!(f, "the plan's execution began on {}; it is executed once only", Date::of_ms(*begun))
            }
            Self::NotBegun => f.write_str("the plan's execution has not begun"),
            Self::NotDue { due, today } => write!(f, "it must be kept through {due}; today is {today}"),
            Self::NewHold { holds } => write!(f, "a legal hold stands on the study: {}", list(holds)),
            Self::LateArrival { planned, now } => {
                write!(f, "objects arrived after the plan was made (version {planned}, now {now})")
            }
            Self::StudyChanged { planned, now } => {
                write!(f, "the study was merged, moved or corrected after the plan was made ({planned}, now {now})")
            }
            Self::ClassRise { from, to, due } => {
                write!(f, "the study must be kept longer: class {from} became {to}, due {due}")
            }
            Self::Unclear => f.write_str("a linked record has a class that is not defined: a person must look"),
            Self::SeriesMoved => {
                f.write_str("series of another study stand in it, or its own in one that is kept: they go with the study they were received in when both may go")
            }
            Self::HiddenByOther { plan } => write!(f, "the study is hidden by plan {plan}"),
            Self::Gone => f.write_str("the study is not in the archive any more"),
            Self::UndoWindow { until } => write!(f, "the days to undo run through {}", last_day(*until)),
            Self::NotHidden => f.write_str("the study is not hidden"),
            Self::AlreadyHidden => f.write_str("the study is hidden already"),
            Self::TakenOut => f.write_str("the study was taken out of the plan"),
            Self::AlreadyDestroyed => f.write_str("the study is destroyed already"),
        }
    }
}

impl std::error::Error for Refusal {}
