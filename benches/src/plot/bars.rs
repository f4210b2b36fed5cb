//! Stacked bars of equal length: the share of each part in a latency.

use plotters::prelude::*;

use super::{GRID, INK, colour, drawn};
use crate::error::BenchError;

/// Width of a plot, height of its header and of a bar, in pixels.
const WIDTH: i32 = 900;
const HEAD: i32 = 56;
const BAR: i32 = 24;

/// Left and right ends of the bars.
const LEFT: i32 = 250;
const RIGHT: i32 = WIDTH - 20;

/// Bars, and their parts' names.
#[derive(Debug, Clone, PartialEq)]
pub struct Bars {
    pub title: String,
    pub parts: Vec<String>,
    /// A name, and the size of each part.
    pub rows: Vec<(String, Vec<f64>)>,
}

impl Bars {
    /// Draws the bars.
    ///
    /// # Errors
    ///
    /// The plotting library fails.
    pub fn draw(&self) -> Result<String, BenchError> {
        let mut svg = String::new();
        let rows = i32::try_from(self.rows.len()).unwrap_or_default();
        let size = (WIDTH as u32, (HEAD + rows * BAR + 12).cast_unsigned());
        {
            let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
            let text = |size| ("sans-serif", size).into_font().color(&INK);
            drawn(area.draw_text(&self.title, &text(15), (12, 8)))?;
            let mut x = LEFT;
            for (index, part) in self.parts.iter().enumerate() {
                let box_ = [(x, 32), (x + 12, 44)];
                drawn(area.draw(&Rectangle::new(box_, colour("", index).filled())))?;
                drawn(area.draw_text(part, &text(12), (x + 18, 32)))?;
                x += 42 + 7 * i32::try_from(part.len()).unwrap_or_default();
            }
            for (row, (name, sizes)) in (0..).zip(&self.rows) {
                let top = HEAD + row * BAR;
                drawn(area.draw_text(name, &text(12), (12, top + 3)))?;
                let whole = [(LEFT, top), (RIGHT, top + BAR - 6)];
                drawn(area.draw(&Rectangle::new(whole, GRID.stroke_width(1))))?;
                for (index, [from, to]) in ends(sizes).into_iter().enumerate() {
                    let part = [(from, top), (to, top + BAR - 6)];
                    drawn(area.draw(&Rectangle::new(part, colour("", index).filled())))?;
                }
            }
            drawn(area.present())?;
        }
        Ok(svg)
    }
}

/// Start and end of each part; all at the left if the sum is 0.
fn ends(sizes: &[f64]) -> Vec<[i32; 2]> {
    let sum: f64 = sizes.iter().sum();
    let mut before = 0.0;
    let at = |size: f64| {
        #[expect(clippy::cast_possible_truncation, reason = "within the plot")]
        let pixels = (f64::from(RIGHT - LEFT) * size / sum.max(1e-9)).round() as i32;
        LEFT + pixels
    };
    let ends = sizes.iter().map(|size| {
        let from = at(before);
        before += size;
        [from, at(before)]
    });
    ends.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_fill_the_bar() {
        let parts = ends(&[1.0, 0.0, 3.0]);
        let quarter = LEFT + (RIGHT - LEFT + 2) / 4;
        assert_eq!(parts[0], [LEFT, quarter]);
        assert_eq!(parts[1], [quarter, quarter]);
        assert_eq!(parts[2], [quarter, RIGHT]);
        assert_eq!(ends(&[0.0, 0.0]), [[LEFT, LEFT]; 2]);
    }
}
