//! What is wrong with a file that people write.

/// What is wrong in one line, with the number of the line that it stands in.
///
/// ```
/// use rehearse_scenarios::syntax::toml_error;
///
/// let text = "seed = 1\nsteps = \"many\"";
/// let error = toml::from_str::<std::collections::BTreeMap<String, u32>>(text).unwrap_err();
/// assert_eq!(toml_error(text, &error), r#"invalid type: string "many", expected u32 (line 2)"#);
/// ```
pub fn toml_error(text: &str, error: &toml::de::Error) -> String {
    let message = error.message().replace('\n', " ");
    match error.span().and_then(|span| text.get(..span.start)) {
        Some(before) => format!("{message} (line {})", before.matches('\n').count() + 1),
        None => message,
    }
}
