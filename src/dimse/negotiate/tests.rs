//! The negotiation table and the answers to every extra a request may carry.

use super::*;
use dicom_ul::pdu::UserIdentity;

const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
const EXPLICIT: &str = "1.2.840.10008.1.2.1";
const IMPLICIT: &str = "1.2.840.10008.1.2";
const BASELINE: &str = "1.2.840.10008.1.2.4.50";
const JPEG_LS: &str = "1.2.840.10008.1.2.4.80";
const JPIP: &str = "1.2.840.10008.1.2.4.94";

fn request(contexts: &[(u8, &str, &[&str])], user_variables: Vec<UserVariableItem>) -> AssociationRQ {
    AssociationRQ {
        protocol_version: 1,
        calling_ae_title: "CT01".into(),
        called_ae_title: "KHOANH".into(),
        application_context_name: APPLICATION_CONTEXT.into(),
        presentation_contexts: contexts
            .iter()
            .map(|(id, class, syntaxes)| PresentationContextProposed {
                id: *id,
                abstract_syntax: (*class).into(),
                transfer_syntaxes: syntaxes.iter().map(|s| (*s).into()).collect(),
            })
            .collect(),
        user_variables,
    }
}

/// The result code and transfer syntax of a single proposed context.
fn one(class: &str, syntaxes: &[&str], options: &Options) -> (u8, String) {
    let negotiated = negotiate(&request(&[(1, class, syntaxes)], vec![]), options).expect("unique ids");
    let result = negotiated.answer.presentation_contexts.first().expect("one result").clone();
    assert_eq!(negotiated.contexts.contains_key(&1), result.reason == PresentationContextResultReason::Acceptance);
    (result.reason as u8, result.transfer_syntax)
}

#[test]
fn originals_without_loss_are_preferred_whatever_the_order_of_the_proposal() {
    let options = Options::default();
    let choice = |syntaxes: &[&str]| one(CT, syntaxes, &options).1;
    assert_eq!(choice(&[IMPLICIT_LITTLE_ENDIAN, EXPLICIT, BASELINE]), EXPLICIT);
    assert_eq!(choice(&[BASELINE, JPEG_LS, IMPLICIT_LITTLE_ENDIAN]), JPEG_LS);
    assert_eq!(choice(&[BASELINE, IMPLICIT_LITTLE_ENDIAN]), IMPLICIT_LITTLE_ENDIAN);
    assert_eq!(choice(&["1.2.3.4", BASELINE]), BASELINE);
}

#[test]
fn every_storage_class_is_accepted_in_every_syntax_of_the_table() {
    let options = Options { unknown_transfer_syntaxes: false, private_sop_classes: false, ..Options::default() };
    for class in storage_sop_classes() {
        assert_eq!(one(class.uid, &[EXPLICIT], &options).0, 0, "{}", class.name);
    }
    for syntax in transfer_syntax::transfer_syntaxes() {
        assert_eq!(one(CT, &[syntax.uid], &options), (0, syntax.uid.to_owned()), "{}", syntax.name);
    }
}

#[test]
fn jpip_is_never_accepted() {
    for syntax in [JPIP, "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.204", "1.2.840.10008.1.2.4.205"] {
        assert_eq!(one(CT, &[syntax], &Options::default()).0, 4);
    }
    assert_eq!(one(CT, &[JPIP, BASELINE], &Options::default()), (0, BASELINE.to_owned()));
}

#[test]
fn other_services_are_refused_and_private_classes_are_a_choice() {
    let open = Options::default();
    let strict = Options { private_sop_classes: false, unknown_transfer_syntaxes: false, ..Options::default() };
    for other in [
        // Modality Performed Procedure Step Retrieve.
        "1.2.840.10008.3.1.2.3.4",
        "1.2.840.10008.5.1.4.1.1.201.2",
        "1.2.840.10008.5.1.4.38.1",
        "1.2.840.10008.99",
        "not a uid",
    ] {
        assert_eq!(one(other, &[EXPLICIT], &open).0, 3, "{other}");
    }
    assert_eq!(one("1.2.276.0.19.55.1.5.1.1.1", &[EXPLICIT], &open).0, 0);
    assert_eq!(one("1.2.276.0.19.55.1.5.1.1.1", &[EXPLICIT], &strict).0, 3);
    assert_eq!(one("1.2.840.10008.5.1.4.1.1.999", &[EXPLICIT], &strict).0, 0, "a class newer than the table");
    assert_eq!(one(CT, &["1.2.3.4"], &open), (0, "1.2.3.4".to_owned()));
    assert_eq!(one(CT, &["1.2.3.4"], &strict).0, 4);
    assert_eq!(one(VERIFICATION, &["1.2.3.4"], &open).0, 4);
    assert_eq!(one(CT, &[], &open).0, 4);
}

#[test]
fn queries_come_uncompressed_and_get_the_extras_they_asked_for() {
    const STUDY_ROOT: &str = "1.2.840.10008.5.1.4.1.2.2.1";
    let options = Options::default();
    assert_eq!(one(STUDY_ROOT, &[BASELINE, IMPLICIT, EXPLICIT], &options), (0, EXPLICIT.to_owned()));
    assert_eq!(one(STUDY_ROOT, &[BASELINE, "1.2.840.10008.1.2.1.99", "1.2.3.4"], &options).0, 4);
    let extended = |asked: Vec<u8>| {
        let item = UserVariableItem::SopClassExtendedNegotiationSubItem(STUDY_ROOT.into(), asked);
        let answered = negotiate(&request(&[(1, STUDY_ROOT, &[EXPLICIT])], vec![item]), &options).expect("unique");
        let granted = answered.contexts.get(&1).map(|context| context.extended);
        let told = answered.answer.user_variables.into_iter().find_map(|item| match item {
            UserVariableItem::SopClassExtendedNegotiationSubItem(_, told) => Some(told),
            _ => None,
        });
        (granted.expect("accepted"), told)
    };
    let (granted, told) = extended(vec![1, 1, 1, 1]);
    assert!(granted.relational && granted.fuzzy && !granted.multiple_value);
    assert_eq!(told, Some(vec![1, 1, 1, 1]));
    let (granted, told) = extended(vec![0, 0, 0, 0, 0, 1, 1]);
    assert!(!granted.relational && !granted.fuzzy && granted.empty_value && granted.multiple_value);
    assert_eq!(told, Some(vec![0, 0, 0, 0, 0, 1, 1]));
}

#[test]
fn worklists_and_performed_steps_come_uncompressed() {
    let options = Options::default();
    for class in [MODALITY_WORKLIST, PERFORMED_PROCEDURE_STEP] {
        assert_eq!(one(class, &[BASELINE, IMPLICIT, EXPLICIT], &options), (0, EXPLICIT.to_owned()));
        assert_eq!(one(class, &[EXPLICIT_BIG_ENDIAN], &options), (0, EXPLICIT_BIG_ENDIAN.to_owned()));
        assert_eq!(one(class, &[BASELINE, "1.2.3.4"], &options).0, 4);
    }
}

#[test]
fn shared_context_ids_are_ambiguous_and_even_ones_are_field_practice() {
    let options = Options::default();
    let twice = request(&[(1, CT, &[EXPLICIT]), (1, CT, &[BASELINE])], vec![]);
    assert_eq!(negotiate(&twice, &options).err(), Some(AmbiguousContexts));
    let even = request(&[(2, CT, &[EXPLICIT])], vec![]);
    assert!(negotiate(&even, &options).expect("unique").contexts.contains_key(&2));
}

#[test]
fn extras_are_answered_as_the_standard_asks() {
    let identity = |kind, respond| {
        UserVariableItem::UserIdentityItem(UserIdentity::new(respond, kind, b"bs.an".to_vec(), b"secret".to_vec()))
    };
    let role =
        |class: &str, scu, scp| UserVariableItem::ScuScpRoleSelectionSubItem(class.into(), RequestorRoles { scu, scp });
    let extended = |class: &str| UserVariableItem::SopClassExtendedNegotiationSubItem(class.into(), vec![2]);
    let mr = "1.2.840.10008.5.1.4.1.1.4";
    let asked = vec![
        UserVariableItem::MaxLength(16_384),
        UserVariableItem::ImplementationClassUID("1.2.3\0".into()),
        UserVariableItem::ImplementationVersionName("MODALITY_1".into()),
        role(CT, true, true),
        role(mr, false, true),
        extended(CT),
        extended(mr),
        identity(UserIdentityType::UsernamePassword, true),
        identity(UserIdentityType::Username, false),
        identity(UserIdentityType::SamlAssertion, true),
    ];
    let proposal = request(&[(1, CT, &[EXPLICIT]), (3, mr, &[EXPLICIT])], asked);
    let negotiated = negotiate(&proposal, &Options::default()).expect("unique ids");

    let reasons: Vec<u8> = negotiated.answer.presentation_contexts.iter().map(|c| c.reason.clone() as u8).collect();
    assert_eq!(reasons, [0, 1], "MR was offered without the SCU role");
    assert_eq!(
        negotiated.peer,
        Peer {
            pdu_bytes_max: 16_384,
            implementation: "1.2.3".into(),
            version: "MODALITY_1".into(),
            user: "bs.an".into()
        }
    );
    let items = negotiated.answer.user_variables;
    assert!(items.contains(&UserVariableItem::MaxLength(131_072)));
    assert!(items.contains(&role(CT, true, false)));
    assert!(items.contains(&role(mr, false, false)));
    let storage =
        |class: &str| UserVariableItem::SopClassExtendedNegotiationSubItem(class.into(), vec![2, 0, 3, 0, 0, 0]);
    assert!(items.contains(&storage(CT)));
    assert!(!items.contains(&storage(mr)));
    let responses = items.iter().filter(|item| matches!(item, UserVariableItem::Unknown(0x59, _))).count();
    assert_eq!(responses, 1, "only the name that asked for a response");
}

#[test]
fn version_context_and_titles_are_checked_in_this_order() {
    let good = request(&[], vec![]);
    let with = |change: fn(&mut AssociationRQ)| {
        let mut request = good.clone();
        change(&mut request);
        titles(&request).err()
    };
    assert_eq!(with(|_| {}), None);
    assert_eq!(with(|r| r.protocol_version = 3), None, "only bit 0 counts");
    assert_eq!(with(|r| r.protocol_version = 2), Some(Rejection::ProtocolVersion));
    assert_eq!(with(|r| r.application_context_name = "1.2.3".into()), Some(Rejection::ApplicationContext));
    assert_eq!(with(|r| r.application_context_name.push('\0')), None);
    assert_eq!(with(|r| r.called_ae_title.clear()), Some(Rejection::CalledTitle));
    assert_eq!(with(|r| r.calling_ae_title = "A\\B".into()), Some(Rejection::CallingTitle));
}
