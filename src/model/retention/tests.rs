//! Tests of the rules of retention.
