//! Service descriptions: a template with the address the caller used.

/// What stands in a template where the address belongs.
pub const ADDRESS: &str = "{address}";

/// The description to answer. `url` is escaped: it may hold a query.
pub fn with_address(template: &str, url: &str) -> String {
    let mut escaped = Vec::with_capacity(url.len());
    super::writer::escape(url, &mut escaped);
    template.replace(ADDRESS, &String::from_utf8_lossy(&escaped))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_callers_address_is_put_in_escaped() {
        let wsdl = super::with_address("<a location=\"{address}\"/>", "http://h:8080/T?a=1&b=\"<x>\"");
        assert_eq!(wsdl, "<a location=\"http://h:8080/T?a=1&amp;b=&quot;&lt;x&gt;&quot;\"/>");
    }
}
