//! What is called and what is not, by every form an address may be written in.

use super::*;

fn reach(entries: &[&str]) -> Reach {
    Reach::parse(entries).expect("entries")
}

fn goes(reach: &Reach, url: &str) -> bool {
    reach.check_url(url).is_ok()
}

#[test]
fn without_a_word_hospitals_networks_are_called_and_the_machine_and_its_link_are_not() {
    let reach = Reach::default();
    assert_eq!(reach, self::reach(&["any"]));
    for url in [
        "https://his.bv56001.example/hook",
        "http://10.56.1.2:8080/hook?x=1",
        "http://172.16.0.9",
        "http://192.168.1.5:65535/",
        "https://[fd12:3456::1]:8443/fhir",
        "https://203.0.113.9",
    ] {
        assert!(goes(&reach, url), "{url}");
    }
    for url in [
        "http://127.0.0.1:8080/",
        "http://127.9.9.9",
        "http://localhost:8042",
        "http://LOCALHOST./x",
        "http://a.localhost",
        "http://[::1]:8080/",
        "http://0.0.0.0:8080",
        "http://0.1.2.3",
        "http://[::]",
        "http://169.254.169.254/latest/meta-data",
        "http://[fe80::1]",
        "http://[fd00:ec2::254]/",
        "http://100.100.100.200",
        "http://168.63.129.16",
        "http://[fd20:ce::254]/",
        "http://224.0.0.1",
        "http://[ff02::1]",
        "http://255.255.255.255",
        // The same once more, as it hides in IPv6.
        "http://[::ffff:127.0.0.1]",
        "http://[::127.0.0.1]",
        "http://[64:ff9b::a9fe:a9fe]",
        "http://[64:ff9b:1::a9fe:a9fe]",
        "http://[64:ff9b:1:2:3:4:7f00:1]",
        "http://[::ffff:0:127.0.0.1]",
        "http://[2002:7f00:1::]",
        // What some read as an address and others as a name.
        "http://127.1",
        "http://0x7f000001",
        "http://2130706433",
        "http://0177.0.0.1",
        "http://127.0.0.1.",
        "http://%31%32%37.0.0.1",
        "http://１２７.0.0.1",
        "http://127.0.0.1\\@his.example/",
        "http://his.example:0/",
        "http://his.example:99999/",
        "http://",
        "ftp://his.example",
    ] {
        assert!(!goes(&reach, url), "{url}");
    }
}

#[test]
fn a_list_says_who_is_called_and_at_which_port() {
    let list = reach(&["10.56.0.0/16:8000-8099", "his.bv56001.example", "*.syt.example:443", "[fd12::/16]:8443"]);
    for url in [
        "http://10.56.9.9:8042/",
        "http://his.bv56001.example:9999",
        "https://HIS.bv56001.example./",
        "https://a.b.syt.example/x",
        "https://[fd12::5]:8443",
        // It may lead into the network: that is looked at when it is called.
        "http://somebody.example:8042",
    ] {
        assert!(goes(&list, url), "{url}");
    }
    for url in [
        "http://10.56.9.9:8100/",
        "http://10.57.9.9:8042/",
        "https://syt.example/",
        "http://a.syt.example:80/",
        "https://evil-syt.example:444/",
        "https://[fd13::5]:8443",
        "http://203.0.113.9",
    ] {
        assert!(!goes(&list, url), "{url}");
    }
    let led = |host: &str, address: &str, port| list.check(host, address.parse().expect("an address"), port, false);
    assert!(led("somebody.example", "10.56.1.1", 8042).is_ok() && led("somebody.example", "10.57.1.1", 8042).is_err());
    assert!(led("his.bv56001.example.", "10.57.1.1", 1).is_ok() && led("somebody.example", "fd12::1", 8042).is_err());
    assert!(!goes(&reach(&[]), "https://his.example/"));
}

#[test]
fn only_its_own_number_opens_the_machine() {
    let own = |reach: &Reach, host: &str, address: &str| {
        reach.check(host, address.parse().expect("an address"), 9000, true).is_ok()
    };
    // A name, a word and a network that the machine happens to stand in do not mean it.
    for entries in [&["any"][..], &["his.example"], &["10.0.0.0/8"], &["0.0.0.0/0"], &["::/0"], &["10.1.2.3:80"]] {
        let list = reach(entries);
        for address in ["10.1.2.3", "127.0.0.1", "::1", "::ffff:10.1.2.3"] {
            assert!(!own(&list, "his.example", address), "{entries:?} {address}");
        }
        assert!(!goes(&list, "http://127.0.0.1:9000"), "{entries:?}");
    }
    assert!(own(&reach(&["10.1.2.3"]), "his.example", "10.1.2.3"));
    assert!(own(&reach(&["localhost:9000"]), "translator", "::1"));
    for entry in ["localhost:9000", "127.0.0.1:9000", "127.0.0.0/8"] {
        assert!(goes(&reach(&[entry]), "http://127.0.0.1:9000/x"), "{entry}");
        assert!(goes(&reach(&[entry]), "http://localhost:9000/x"), "{entry}");
    }
    assert!(!goes(&reach(&["localhost:9000"]), "http://127.0.0.1:9001/"));
    assert!(goes(&reach(&["169.254.7.0/24"]), "http://169.254.7.8"));
    assert!(!goes(&reach(&["169.254.7.0/24"]), "http://169.254.169.254"));
    let here = Reach::default().with_own();
    assert!(goes(&here, "http://127.0.0.1:9000") && goes(&here, "http://[::1]:1") && own(&here, "x", "10.1.2.3"));
    assert!(!goes(&here, "http://169.254.169.254"));
}

#[test]
fn what_is_no_entry_is_told_by_its_text() {
    for entry in [
        "",
        "*",
        "*.",
        "a b",
        "10.0.0.0/33",
        "10.1.2.3/8",
        "his:0",
        "his:9-1",
        "[fd00::1",
        "fd00::1:",
        "his/8",
        "127.1",
    ] {
        let error = Reach::parse(&[entry]).expect_err(entry);
        assert!(error.contains(&format!("{entry:?}")), "{entry}: {error}");
    }
    let said = Reach::default().check_url("http://127.0.0.1/").expect_err("the machine").to_string();
    assert!(said.contains("calls.allow") && !said.contains("127"), "{said}");
    let said = Reach::default().check_url("https://bệnhviện.example/").expect_err("no ASCII").to_string();
    assert!(said.contains("xn--"), "{said}");
}
