//! Plots as SVG, embedded in the report.
//!
//! The plotting library writes colours as numbers, which the report's style sheet selects and
//! replaces, depending on whether the page is dark.

pub mod bars;
#[cfg(test)]
mod tests;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::drawing::DrawingAreaErrorKind;
use plotters::prelude::*;

use crate::error::BenchError;
use crate::record::Bucket;
use crate::results::float;

/// Size of a plot, in pixels: two side by side in 1280.
const SIZE: (u32, u32) = (596, 330);

/// Height of its title and legend.
const HEAD: i32 = 48;

/// Colours of text and axes, of lines behind the curves, and of the curves; the style sheet uses
/// them too.
pub const INK: RGBColor = RGBColor(1, 1, 1);
pub const GRID: RGBColor = RGBColor(2, 2, 2);
pub const CURVES: [RGBColor; 5] = [
    RGBColor(11, 11, 11),
    RGBColor(12, 12, 12),
    RGBColor(13, 13, 13),
    RGBColor(14, 14, 14),
    RGBColor(15, 15, 15),
];

/// A curve: its name and its points, ascending in x.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

/// The contents of a plot.
#[derive(Debug, Clone, PartialEq)]
pub struct Plot {
    pub title: String,
    pub x: String,
    pub y: String,
    pub log_x: bool,
    pub log_y: bool,
    /// Whether points are marked: only the marked points were measured.
    pub marks: bool,
    pub curves: Vec<Curve>,
}

/// The curve's index in the palette: the same variant has the same colour everywhere.
fn colour(name: &str, index: usize) -> RGBColor {
    let of = match name {
        "tocsin" | "ceiling" => 0,
        "floor" | "none" => 1,
        "typical" | "cli" => 2,
        "spin" => 3,
        _ => index,
    };
    CURVES[of % CURVES.len()]
}

impl Plot {
    /// Draws the plot.
    ///
    /// # Errors
    ///
    /// The plotting library fails.
    pub fn draw(&self) -> Result<String, BenchError> {
        let (x, y) = (
            self.range(|point| point.0, self.log_x),
            self.range(|point| point.1, self.log_y),
        );
        let log = |range: (f64, f64)| (range.0..range.1).log_scale().base(base(range));
        // The library's logarithmic axis has a different type than its linear one.
        match (self.log_x, self.log_y) {
            (false, false) => self.on(x.0..x.1, y.0..y.1),
            (true, false) => self.on(log(x), y.0..y.1),
            (false, true) => self.on(x.0..x.1, log(y)),
            (true, true) => self.on(log(x), log(y)),
        }
    }

    /// Writes the title, and below it the legend.
    fn head<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>) -> Result<(), BenchError> {
        let title = ("sans-serif", 15).into_font().color(&INK);
        drawn(area.draw_text(&self.title, &title, (70, 8)))?;
        let mut x = 70;
        for (index, curve) in self.curves.iter().enumerate() {
            let line = colour(&curve.name, index).stroke_width(3);
            drawn(area.draw(&PathElement::new([(x, 38), (x + 18, 38)], line)))?;
            let name = ("sans-serif", 12).into_font().color(&INK);
            drawn(area.draw_text(&curve.name, &name, (x + 24, 32)))?;
            x += 46 + 8 * curve.name.len().cast_signed() as i32;
        }
        Ok(())
    }

    /// The minimum and maximum of all points, with a margin; a linear axis begins at 0, a
    /// logarithmic one, which has no 0, at the smallest positive value.
    fn range(&self, of: fn(&(f64, f64)) -> f64, log: bool) -> (f64, f64) {
        let values = || self.curves.iter().flat_map(|curve| &curve.points).map(of);
        let values = || values().filter(|&value| value > 0.0);
        let most = values().reduce(f64::max).unwrap_or(1.0);
        if log {
            let least = values().reduce(f64::min).unwrap_or(most);
            return (least / 1.15, most * 1.15);
        }
        (0.0, most * 1.08)
    }

    /// The points that the axes can show.
    fn points<'c>(&self, curve: &'c Curve) -> impl Iterator<Item = (f64, f64)> + use<'c> {
        let (log_x, log_y) = (self.log_x, self.log_y);
        let points = curve.points.iter().copied();
        points.filter(move |&(x, y)| !(log_x && x <= 0.0 || log_y && y <= 0.0))
    }

    fn on<X, Y>(&self, x: X, y: Y) -> Result<String, BenchError>
    where
        X: AsRangedCoord<Value = f64>,
        Y: AsRangedCoord<Value = f64>,
        X::CoordDescType: ValueFormatter<f64>,
        Y::CoordDescType: ValueFormatter<f64>,
    {
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
            let (head, body) = area.split_vertically(HEAD);
            self.head(&head)?;
            let chart = ChartBuilder::on(&body)
                .margin(8)
                .margin_right(18)
                .x_label_area_size(42)
                .y_label_area_size(66)
                .build_cartesian_2d(x, y);
            let mut chart = drawn(chart)?;
            let mesh = chart
                .configure_mesh()
                .x_desc(&self.x)
                .y_desc(&self.y)
                .x_labels(8)
                .y_labels(7)
                .axis_style(INK)
                .bold_line_style(GRID.mix(0.5))
                .light_line_style(TRANSPARENT)
                .label_style(("sans-serif", 12).into_font().color(&INK))
                .axis_desc_style(("sans-serif", 13).into_font().color(&INK))
                .x_label_formatter(&|value| number(*value))
                .y_label_formatter(&|value| number(*value))
                .draw();
            drawn(mesh)?;
            // The kernel's own curve is drawn last, so that no equal curve hides it.
            let mut curves: Vec<_> = self.curves.iter().enumerate().collect();
            curves.sort_by_key(|&(index, curve)| colour(&curve.name, index) == CURVES[0]);
            for (index, curve) in curves {
                let colour = colour(&curve.name, index);
                let points = || self.points(curve);
                let line = LineSeries::new(points(), colour.stroke_width(2));
                drawn(chart.draw_series(line))?;
                if self.marks {
                    let circles = points().map(|point| Circle::new(point, 3, colour.filled()));
                    drawn(chart.draw_series(circles))?;
                }
            }
            drawn(area.present())?;
        }
        Ok(svg)
    }
}

/// The base of a logarithmic axis, which has ticks at its powers: base 10 gives too few below two
/// decades.
fn base((least, most): (f64, f64)) -> f64 {
    if most / least < 100.0 { 2.0 } else { 10.0 }
}

/// Converts an error of the plotting library.
fn drawn<T, E>(result: Result<T, DrawingAreaErrorKind<E>>) -> Result<T, BenchError>
where
    E: std::error::Error + Send + Sync,
{
    result.map_err(|e| BenchError::Plot(e.to_string()))
}

/// A number on an axis: `20k`, `1.5M`, `0.25`, `0.0001`.
pub fn number(value: f64) -> String {
    let (scaled, unit) = match value.abs() {
        v if v >= 1e9 => (value / 1e9, "G"),
        v if v >= 1e6 => (value / 1e6, "M"),
        v if v >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let text = match scaled.abs() {
        small if small > 0.0 && small < 0.1 => format!("{scaled:.6}"),
        _ => format!("{scaled:.2}"),
    };
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text}{unit}")
}

/// The percentage of a histogram's samples in each of about forty steps; steps are equal on a
/// logarithmic axis.
pub fn distribution(histogram: &[Bucket], range: (u64, u64)) -> Vec<(f64, f64)> {
    const STEPS: u32 = 40;
    let (low, high) = (float(range.0.max(1)), float(range.1.max(2)));
    let width = (high / low).powf(1.0 / f64::from(STEPS)).max(1.0 + 1e-9);
    let total: u64 = histogram.iter().map(|&(_, _, count)| count).sum();
    let edge = |step: u32| low * width.powi(step.cast_signed());
    let mut points = Vec::new();
    for step in 0..=STEPS {
        let (from, to) = (edge(step), edge(step + 1));
        let within = histogram.iter().filter(|&&(first, last, _)| {
            let middle = f64::midpoint(float(first), float(last)).max(1.0);
            from <= middle * (1.0 + 1e-9) && middle * (1.0 + 1e-9) < to
        });
        let count: u64 = within.map(|&(_, _, count)| count).sum();
        let percent = 100.0 * float(count) / float(total.max(1));
        points.extend([(from, percent), (to, percent)]);
    }
    points
}

/// The percentage of a histogram's samples at or below each value.
pub fn cumulative(histogram: &[Bucket]) -> Vec<(f64, f64)> {
    let mut buckets = histogram.to_vec();
    buckets.sort_by_key(|&(_, last, _)| last);
    let total: u64 = buckets.iter().map(|&(_, _, count)| count).sum();
    let mut points = Vec::new();
    let (mut sum, mut before) = (0, 0.0);
    for (_, last, count) in buckets {
        sum += count;
        let percent = 100.0 * float(sum) / float(total.max(1));
        let at = float(last.max(1));
        points.extend([(at, before), (at, percent)]);
        before = percent;
    }
    points
}

/// The percentage of a histogram's samples above each value, down to the last.
pub fn tail(histogram: &[Bucket]) -> Vec<(f64, f64)> {
    let mut buckets = histogram.to_vec();
    buckets.sort_by_key(|&(first, _, _)| first);
    let total: u64 = buckets.iter().map(|&(_, _, count)| count).sum();
    let mut left = total;
    let mut points = Vec::new();
    for (first, last, count) in buckets {
        let percent = 100.0 * float(left) / float(total.max(1));
        points.extend([first, last].map(|at| (float(at.max(1)), percent)));
        left -= count;
    }
    points
}
