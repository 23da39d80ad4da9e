//! Curves with intervals, as SVG with a table of the same numbers.

use super::html::escape;
use omniid_training::statistics::Estimate;

/// One curve.
pub struct Curve {
    pub name: String,
    /// Value and interval at every place of the chart that has one.
    pub points: Vec<Option<Estimate>>,
}

/// A chart: places along the horizontal axis, and curves over them.
pub struct Chart<'a> {
    pub title: &'a str,
    /// What the places are.
    pub axis: &'a str,
    pub places: Vec<String>,
    /// At most two: they are told apart by colour and dashes.
    pub curves: Vec<Curve>,
    /// Horizontal lines, such as floor and ceiling.
    pub levels: Vec<(String, f64)>,
}

const WIDTH: f64 = 520.0;
const HEIGHT: f64 = 280.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 44.0;

impl Chart<'_> {
    /// The chart as HTML; empty without a value.
    pub fn html(&self) -> String {
        let values = || self.curves.iter().flat_map(|curve| curve.points.iter().flatten());
        if values().next().is_none() {
            return String::new();
        }
        let ends = values()
            .flat_map(|point| [point.low, point.high, point.value])
            .chain(self.levels.iter().map(|(_, level)| *level));
        let (low, high) = ends.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        let room = ((high - low) * 0.08).max(1e-3);
        let scale = Scale {
            low: low - room,
            high: high + room,
            places: self.places.len(),
        };
        let title = escape(self.title);
        format!(
            "<figure>\n<h3>{title}</h3>\n<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
             aria-label=\"{title}; the table below has the numbers\">\n{}{}{}</svg>\n{}{}</figure>\n",
            self.axes(&scale),
            self.drawn_levels(&scale),
            self.drawn_curves(&scale),
            self.legend(),
            self.table()
        )
    }

    fn axes(&self, scale: &Scale) -> String {
        let bottom = HEIGHT - BOTTOM;
        let mut text = String::new();
        for step in 0..=4 {
            let value = scale.low + (scale.high - scale.low) * f64::from(step) / 4.0;
            let y = scale.y(value);
            text.push_str(&format!(
                "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value:.2}</text>\n",
                WIDTH - RIGHT,
                LEFT - 6.0,
                y + 4.0
            ));
        }
        for (place, name) in self.places.iter().enumerate() {
            text.push_str(&format!(
                "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n",
                scale.x(place),
                bottom + 16.0,
                escape(name)
            ));
        }
        text.push_str(&format!(
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n",
            (LEFT + WIDTH - RIGHT) / 2.0,
            HEIGHT - 8.0,
            escape(self.axis)
        ));
        text
    }

    fn drawn_levels(&self, scale: &Scale) -> String {
        let line = |(name, value): &(String, f64)| {
            let y = scale.y(*value);
            format!(
                "<line class=\"level\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
                WIDTH - RIGHT,
                WIDTH - RIGHT,
                y - 4.0,
                escape(name)
            )
        };
        self.levels.iter().map(line).collect()
    }

    fn drawn_curves(&self, scale: &Scale) -> String {
        let mut text = String::new();
        for (number, curve) in self.curves.iter().enumerate() {
            let other = if number == 0 { "" } else { " other" };
            // Intervals of two curves stand beside each other.
            let aside = if self.curves.len() > 1 {
                number as f64 * 6.0 - 3.0
            } else {
                0.0
            };
            let known = curve.points.iter().enumerate();
            let known: Vec<(f64, &Estimate)> = known
                .filter_map(|(place, point)| Some((scale.x(place) + aside, point.as_ref()?)))
                .collect();
            let line: Vec<String> = known
                .iter()
                .map(|(x, point)| format!("{x:.1},{:.1}", scale.y(point.value)))
                .collect();
            text.push_str(&format!(
                "<polyline class=\"curve{other}\" points=\"{}\"/>\n",
                line.join(" ")
            ));
            for (x, point) in &known {
                text.push_str(&format!(
                    "<line class=\"interval{other}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>\
                     <circle class=\"dot{other}\" cx=\"{x:.1}\" cy=\"{:.1}\" r=\"3.5\"/>\n",
                    scale.y(point.low),
                    scale.y(point.high),
                    scale.y(point.value)
                ));
            }
        }
        text
    }

    fn legend(&self) -> String {
        if self.curves.len() < 2 {
            return String::new();
        }
        let names = ["Solid", "Dashed"];
        let each = self.curves.iter().zip(names);
        let lines: Vec<String> = each
            .map(|(curve, name)| format!("{name}: {}", escape(&curve.name)))
            .collect();
        format!("<p class=\"soft\">{}</p>\n", lines.join(". "))
    }

    fn table(&self) -> String {
        let mut text = String::from("<details><summary>Numbers</summary>\n<div class=\"scroll\"><table>\n<thead><tr>");
        text.push_str(&format!("<th scope=\"col\">{}</th>", escape(self.axis)));
        for place in &self.places {
            text.push_str(&format!("<th scope=\"col\">{}</th>", escape(place)));
        }
        text.push_str("</tr></thead>\n<tbody>\n");
        for curve in &self.curves {
            text.push_str(&format!("<tr><th scope=\"row\">{}</th>", escape(&curve.name)));
            for point in &curve.points {
                match point {
                    Some(point) => text.push_str(&format!(
                        "<td>{:.3} ({:.3} to {:.3})</td>",
                        point.value, point.low, point.high
                    )),
                    None => text.push_str("<td>not measured</td>"),
                }
            }
            text.push_str("</tr>\n");
        }
        for (name, value) in &self.levels {
            text.push_str(&format!(
                "<tr><th scope=\"row\">{}</th><td colspan=\"{}\">{value:.3}</td></tr>\n",
                escape(name),
                self.places.len().max(1)
            ));
        }
        text.push_str("</tbody>\n</table></div></details>\n");
        text
    }
}

/// Numbers to places in the picture.
struct Scale {
    low: f64,
    high: f64,
    places: usize,
}

impl Scale {
    fn x(&self, place: usize) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * (place as f64 + 0.5) / self.places.max(1) as f64
    }

    fn y(&self, value: f64) -> f64 {
        TOP + (HEIGHT - TOP - BOTTOM) * (self.high - value) / (self.high - self.low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_places_keep_their_order() {
        let estimate = |value: f64| {
            Some(Estimate {
                value,
                low: value - 0.1,
                high: value + 0.1,
            })
        };
        let chart = Chart {
            title: "Similarity",
            axis: "photos",
            places: vec!["1".into(), "3".into(), "5".into()],
            curves: vec![Curve {
                name: "<own>".into(),
                points: vec![estimate(0.2), None, estimate(0.6)],
            }],
            levels: vec![("others".into(), 0.0)],
        };
        let html = chart.html();
        assert!(html.contains("<td>0.600 (0.500 to 0.700)</td>") && html.contains("not measured"));
        assert!(html.contains("&lt;own&gt;") && !html.contains("<own>"));
        // A larger value stands higher, which is a smaller y; the middle of three places is the middle of the axis.
        let scale = Scale {
            low: 0.0,
            high: 1.0,
            places: 3,
        };
        assert!(scale.y(0.6) < scale.y(0.2));
        assert_eq!(scale.y(1.0), TOP);
        assert_eq!(scale.x(1), (LEFT + WIDTH - RIGHT) / 2.0);
        let nothing = Chart {
            curves: Vec::new(),
            ..chart
        };
        assert_eq!(nothing.html(), "");
    }
}
