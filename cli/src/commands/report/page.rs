//! The whole page: one file, without network, for light and dark screens, by mouse, keyboard and screen reader.

use super::html::{escape, Section};

/// The page with its sections. `summary` is HTML.
pub fn page(title: &str, summary: &str, sections: &[Section]) -> String {
    let mut contents = String::new();
    let mut bodies = String::new();
    for section in sections {
        contents.push_str(&format!(
            "<li><a href=\"#{}\">{}</a></li>\n",
            section.id,
            escape(section.title)
        ));
        bodies.push_str(&format!(
            "<section id=\"{id}\" aria-labelledby=\"{id}-title\">\n<h2 id=\"{id}-title\">{}</h2>\n{}</section>\n",
            escape(section.title),
            section.body,
            id = section.id
        ));
    }
    // The policy keeps the page from asking any network for anything, whatever a file name holds.
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; \
         style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n\
         <title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n\
         <a class=\"skip\" href=\"#main\">Skip to the report</a>\n\
         <header>\n<h1>{title}</h1>\n{summary}</header>\n\
         <nav aria-label=\"Contents\"><ul>\n{contents}</ul></nav>\n\
         <main id=\"main\">\n{bodies}</main>\n<script>\n{script}</script>\n</body>\n</html>\n",
        title = escape(title),
        style = include_str!("page.css"),
        script = include_str!("page.js"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_comes_from_elsewhere() {
        let section = Section {
            id: "one",
            title: "One & all",
            body: "<p>text</p>\n".to_string(),
        };
        let page = page("A <b>", "<p>summary</p>", &[section]);
        assert!(page.contains("<title>A &lt;b&gt;</title>") && page.contains("default-src 'none'"));
        assert!(page.contains("<a href=\"#one\">One &amp; all</a>") && page.contains("<section id=\"one\""));
        for word in ["http://", "https://", "src=\"/", "@import", "url("] {
            assert!(!page.contains(word), "{word}");
        }
    }
}
