//! The fields of a form, in the two encodings that Keliweb's examples use.

/// Returns the fields that have a value. A body that is no form has none.
pub(super) fn fields(content_type: &str, body: &[u8]) -> Vec<(String, String)> {
    let (kind, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    let mut fields = match kind.trim().to_ascii_lowercase().as_str() {
        "application/x-www-form-urlencoded" => form_urlencoded::parse(body).into_owned().collect(),
        "multipart/form-data" => multipart(parameters, &String::from_utf8_lossy(body)),
        _ => Vec::new(),
    };
    fields.retain(|(_, value)| !value.is_empty());
    fields
}

/// Returns the parts of a multipart form (RFC 7578) whose names are plain text.
fn multipart(parameters: &str, body: &str) -> Vec<(String, String)> {
    let Some(boundary) = parameter(parameters, "boundary") else { return Vec::new() };
    // The first boundary has no line before it.
    let (body, delimiter) = (format!("\r\n{body}"), format!("\r\n--{boundary}"));
    let parts = body.split(&delimiter).skip(1).take_while(|part| !part.starts_with("--"));
    let field = |part: &str| {
        let (head, value) = part.split_once("\r\n\r\n")?;
        let disposition = head.lines().find(|line| line.to_ascii_lowercase().starts_with("content-disposition:"))?;
        Some((parameter(disposition, "name")?, value.to_owned()))
    };
    parts.filter_map(field).collect()
}

/// Returns a parameter of a header, with quotes or without.
fn parameter(text: &str, name: &str) -> Option<String> {
    let mut parameters = text.split(';').filter_map(|parameter| parameter.trim().split_once('='));
    let (_, value) = parameters.find(|(known, _)| known.eq_ignore_ascii_case(name))?;
    Some(value.trim().trim_matches('"').to_owned())
}
