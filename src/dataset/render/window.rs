//! Windows (PS3.3 C.11.2.1.2) and how a request names one (PS3.18 section 8.3.5.1.2).

use std::fmt;

/// How values inside a window become brightness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Function {
    /// LINEAR: the width counts whole values, C.11.2.1.2.1.
    #[default]
    Linear,
    /// LINEAR_EXACT: the width is a distance, C.11.2.1.3.2.
    LinearExact,
    /// SIGMOID, C.11.2.1.3.1.
    Sigmoid,
}

impl Function {
    /// The function of a VOI LUT Function (0028,1056) or of a request; LINEAR for what nobody knows.
    pub(crate) fn of_attribute(term: &str) -> Self {
        Self::parse(term).unwrap_or_default()
    }

    fn parse(term: &str) -> Option<Self> {
        match term.trim().replace('-', "_").to_ascii_uppercase().as_str() {
            "LINEAR" => Some(Self::Linear),
            "LINEAR_EXACT" => Some(Self::LinearExact),
            "SIGMOID" => Some(Self::Sigmoid),
            _ => None,
        }
    }
}

/// A window over values that the modality transformation gave.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// Center (0028,1050).
    pub center: f64,
    /// Width (0028,1051): at least 1 for LINEAR, above 0 for the others.
    pub width: f64,
    /// Function (0028,1056).
    pub function: Function,
}

/// Why a parameter of a request cannot be used: a sentence for the one who asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadParameter(pub String);

impl Window {
    /// A window that can be applied.
    ///
    /// # Errors
    /// A width that is too small for its function, or numbers that are none.
    pub fn new(center: f64, width: f64, function: Function) -> Result<Self, BadParameter> {
        if !center.is_finite() || !width.is_finite() {
            return Err(BadParameter("window center and width are finite numbers".into()));
        }
        if width <= 0.0 || (function == Function::Linear && width < 1.0) {
            let least = if function == Function::Linear { "at least 1" } else { "above 0" };
            return Err(BadParameter(format!("a window of this function has a width {least}, not {width}")));
        }
        Ok(Self { center, width, function })
    }

    /// Reads `center,width,function`.
    ///
    /// # Errors
    /// Anything that is no window.
    pub fn parse(text: &str) -> Result<Self, BadParameter> {
        let bad = || BadParameter("window is center,width,function: linear, linear-exact or sigmoid".into());
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        let (center, width, function) = match parts.as_slice() {
            [center, width] => (center, width, Function::Linear),
            [center, width, function] => (center, width, Function::parse(function).ok_or_else(bad)?),
            _ => return Err(bad()),
        };
        let number = |text: &str| text.parse::<f64>().map_err(|_| bad());
        Self::new(number(center)?, number(width)?, function)
    }

    /// Brightness of a value, from 0 to 1.
    #[must_use]
    pub fn apply(&self, value: f64) -> f64 {
        let Self { center, width, function } = *self;
        match function {
            Function::Linear => {
                let (middle, reach) = (center - 0.5, width - 1.0);
                if value <= middle - reach / 2.0 {
                    0.0
                } else if value > middle + reach / 2.0 {
                    1.0
                } else {
                    (value - middle) / reach + 0.5
                }
            }
            Function::LinearExact => ((value - center) / width + 0.5).clamp(0.0, 1.0),
            Function::Sigmoid => 1.0 / (1.0 + (-4.0 * (value - center) / width).exp()),
        }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{},{:?}", self.center, self.width, self.function)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_follow_the_formulas() {
        // PS3.3 C.11.2.1.2.1: center 2048, width 4096 maps 0 to black and 4095 to white.
        let window = Window::parse("2048,4096").expect("a window");
        assert_eq!((window.apply(0.0), window.apply(4095.0), window.apply(-5.0)), (0.0, 1.0, 0.0));
        assert!((window.apply(2047.5) - 0.5).abs() < 1e-12);
        // The same, exact: center 0, width 100 maps -50 to black and 50 to white.
        let exact = Window::parse("0,100,linear-exact").expect("a window");
        assert_eq!((exact.apply(-50.0), exact.apply(50.0), exact.apply(0.0)), (0.0, 1.0, 0.5));
        let sigmoid = Window::parse("10, 4, SIGMOID").expect("a window");
        assert_eq!(sigmoid.apply(10.0), 0.5);
        assert!((sigmoid.apply(11.0) - 0.731_058_578_630_004_9).abs() < 1e-12);
        // Width 1 is a threshold.
        let step = Window::parse("10,1,linear").expect("a window");
        assert_eq!((step.apply(9.5), step.apply(9.6)), (0.0, 1.0));
    }

    #[test]
    fn what_is_no_window_says_why() {
        for text in ["", "1", "1,0", "1,0.5", "1,-4,sigmoid", "1,0,linear-exact", "a,1", "1,2,cubic", "1,2,linear,4"] {
            assert!(Window::parse(text).is_err(), "{text}");
        }
        for text in ["nan,1", "1,inf", "1e999,2"] {
            assert!(Window::parse(text).is_err(), "{text}");
        }
        assert!(Window::parse("1,0.5,linear_exact").is_ok());
    }
}
