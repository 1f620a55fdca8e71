//! What the kernel counts for a process: processor time, bytes written, memory.

/// A process to look at (Linux `/proc`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process(u32);

impl Process {
    /// The process with this id.
    pub fn new(pid: u32) -> Self {
        Self(pid)
    }

    /// User and system time in seconds, all threads.
    pub fn cpu_seconds(self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap_or_default();
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let ticks =
            |at: usize| after_name.split_whitespace().nth(at).and_then(|t| t.parse::<f64>().ok()).unwrap_or(0.0);
        (ticks(11) + ticks(12)) / 100.0
    }

    /// Bytes this process caused to be written to storage.
    pub fn written_bytes(self) -> u64 {
        self.line("io", "write_bytes:")
    }

    /// Peak resident memory in bytes since the last [`Process::reset_peak`].
    pub fn peak_bytes(self) -> u64 {
        self.line("status", "VmHWM:") * 1024
    }

    /// Resident memory now, in bytes.
    pub fn resident_bytes(self) -> u64 {
        self.line("status", "VmRSS:") * 1024
    }

    /// Sets the peak back to what is resident now.
    pub fn reset_peak(self) {
        let _ = std::fs::write(format!("/proc/{}/clear_refs", self.0), "5");
    }

    fn line(self, file: &str, name: &str) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/{file}", self.0)).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory_and_an_unknown_one_nothing() {
        assert!(Process::new(std::process::id()).peak_bytes() > 1 << 20);
        assert_eq!(Process::new(u32::MAX).resident_bytes(), 0);
    }
}
