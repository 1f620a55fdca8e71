//! The command line is well formed, and its words mean what the help says.

use super::*;
use clap::CommandFactory;

#[test]
fn the_command_line_is_well_formed() {
    Arguments::command().debug_assert();
}

#[test]
fn every_command_and_option_is_described() {
    fn look(command: &clap::Command) {
        assert!(command.get_about().is_some(), "{} has no description", command.get_name());
        for argument in
            command.get_arguments().filter(|argument| !["help", "version"].contains(&argument.get_id().as_str()))
        {
            assert!(argument.get_help().is_some(), "{} {} has no description", command.get_name(), argument.get_id());
        }
        command.get_subcommands().for_each(look);
    }
    look(&Arguments::command());
}

#[test]
fn exit_codes_round_trip_and_stand_in_the_help() {
    for exit in [Exit::Done, Exit::Failed, Exit::Usage, Exit::Findings, Exit::InUse, Exit::LateStop, Exit::Interrupted]
    {
        assert_eq!(Exit::from_code(exit.code()), exit);
        assert!(EXITS.contains(&format!("\n  {}  ", exit.code())), "{exit:?}");
    }
}

#[test]
fn the_command_line_goes_before_the_configuration() {
    let place = Place { config: None, data: Some("elsewhere".into()) };
    assert_eq!(place.config().expect("defaults").data, PathBuf::from("elsewhere"));
}

#[test]
fn a_list_of_what_the_verifier_said_goes_on_only_where_there_is_one() {
    let parses = |line: &str| Arguments::try_parse_from(line.split(' ')).is_ok();
    assert!(parses("khoanh persons verify --state differs --after 1-2-3 --limit 5 --json"));
    assert!(!parses("khoanh persons verify --after 1-2-3"));
    assert!(parses("khoanh messages list --after 1-2-3 --limit 5 --json"));
}
