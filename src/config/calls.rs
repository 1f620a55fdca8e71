//! The keys of calls to addresses that facilities name, and their checks.

use super::options::{named, refuse};
use super::{Config, ConfigError};
use model::Reach;
use serde::{Deserialize, Serialize};

/// `[calls]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Calls {
    pub(crate) allow: Vec<String>,
}

impl Default for Calls {
    fn default() -> Self {
        Self { allow: vec!["any".into()] }
    }
}

impl Config {
    pub(super) fn check_calls(&self) -> Result<(), ConfigError> {
        Reach::parse(&self.calls.allow).map(drop).or_else(|what| refuse("calls.allow", what))
    }

    /// Where calls may lead that facilities' administrators ask for. Without a token file everybody is at this machine and
    /// may call it themselves.
    pub(crate) fn reach(&self) -> Reach {
        // Checked at the start; what cannot be read allows nothing.
        let reach = Reach::parse(&self.calls.allow).unwrap_or_else(|_| Reach::nowhere());
        if named(&self.http.tokens).is_none() { reach.with_own() } else { reach }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_says_who_is_called_and_a_start_without_tokens_may_call_its_own_machine() {
        let goes = |text: &str, url: &str| {
            let config = Config::parse(text).expect("well formed");
            config.check().expect("in order");
            let options = config.archive();
            assert_eq!(options.charts.outbox.reach, config.reach());
            assert_eq!(options.forward.reach, config.reach());
            assert_eq!(config.hooks().reach, config.reach());
            config.reach().check_url(url).is_ok()
        };
        let (here, tokens) = ("http://127.0.0.1:9000/hook", "[http]\ntokens = \"tokens.toml\"\n");
        assert!(goes("", here) && !goes(tokens, here));
        assert!(goes(&format!("{tokens}[calls]\nallow = [\"any\", \"localhost:9000\"]"), here));
        assert!(goes(tokens, "http://10.56.1.2:8080/") && !goes(tokens, "http://169.254.169.254/"));
        let listed = "[calls]\nallow = [\"10.56.0.0/16:443\"]";
        assert!(goes(listed, "https://10.56.1.2/") && !goes(listed, "https://10.57.1.2/"));
        assert!(!goes("[calls]\nallow = []", "https://his.example/"));
        let error = Config::parse("[calls]\nallow = [\"10.0.0.0/99\"]").expect("well formed").check().expect_err("99");
        assert!(matches!(&error, ConfigError::Value { key: "calls.allow", .. }), "{error}");
    }
}
