//! Folding of Vietnamese names and text so that the ways people write them meet.
