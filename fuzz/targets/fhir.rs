//! The parameters of a FHIR search, for every kind of resource.
#![no_main]

use web::fhir::parse_search;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(query) = std::str::from_utf8(data) else { return };
    for resource in ["ImagingStudy", "Patient", "ServiceRequest", "DiagnosticReport", "DocumentReference", "Endpoint"] {
        let _ = parse_search(resource, query);
    }
});
