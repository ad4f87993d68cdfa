//! Percentile curves as an SVG picture, and a page around it.
//!
//! The axis to the right is in nines (50 %, 90 %, 99 %, 99.9 %), the one upwards is logarithmic: a tail is as
//! easily seen as a median.

use std::fmt::Write as _;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::prelude::*;

use super::round::Histogram;
use super::sitting::{Row, Sitting};
use crate::report::nanos;

/// The picture could not be drawn.
#[derive(Debug, thiserror::Error)]
#[error("can't draw the plot: {0}")]
pub struct PlotError(String);

const WIDTH: u32 = 1_100;
const HEIGHT_EACH: u32 = 440;

/// Where the names begin, to the right of the curves.
const LEGEND_AT: i32 = 730;
const LEGEND_LINE: i32 = 34;

/// Steps of a curve.
const STEPS: u32 = 400;

/// As many as there are variants with the peers; those who tell red from green with difficulty tell the first
/// eight apart (Okabe and Ito).
const COLORS: [RGBColor; 11] = [
    RGBColor(0, 0, 0),
    RGBColor(120, 120, 120),
    RGBColor(213, 94, 0),
    RGBColor(230, 159, 0),
    RGBColor(0, 114, 178),
    RGBColor(86, 180, 233),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(148, 103, 189),
    RGBColor(140, 86, 75),
    RGBColor(188, 189, 34),
];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn words(error: impl std::fmt::Display) -> PlotError {
    PlotError(error.to_string())
}

/// All messages of a sitting below each other.
///
/// # Errors
/// Where it can't be drawn.
pub fn svg(sitting: &Sitting) -> Result<String, PlotError> {
    let messages: Vec<_> = sitting
        .messages()
        .filter(|(_, rows)| rows.iter().any(|row| row.latency.is_some()))
        .collect();
    let count = messages.len().max(1);
    let mut text = String::new();
    {
        let height = HEIGHT_EACH * count as u32;
        let root = SVGBackend::with_string(&mut text, (WIDTH, height)).into_drawing_area();
        root.fill(&WHITE).map_err(words)?;
        for ((message, rows), area) in messages.iter().zip(root.split_evenly((count, 1))) {
            draw(&area, message, rows)?;
        }
        root.present().map_err(words)?;
    }
    Ok(text)
}

/// How many nines a share is: 0.9 is 1, 0.99 is 2.
fn nines(share: f64) -> f64 {
    -(1.0 - share).log10()
}

/// The share of so many nines.
fn share(nines: f64) -> f64 {
    1.0 - 10_f64.powf(-nines)
}

/// An axis of nines, with a line at each.
#[derive(Clone, Copy, Debug)]
struct Nines {
    most: f64,
}

impl Ranged for Nines {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        from + (value / self.most * f64::from(to - from)) as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        let whole = (1..=self.most as u32).map(f64::from);
        [0.0, nines(0.5)].into_iter().chain(whole).collect()
    }

    fn range(&self) -> std::ops::Range<f64> {
        0.0..self.most
    }
}

impl ValueFormatter<f64> for Nines {
    fn format_ext(&self, value: &f64) -> String {
        let percent = 100.0 * share(*value);
        let digits = (*value as usize).saturating_sub(2);
        match *value {
            0.0 => "least".to_owned(),
            _ => format!("p{percent:.digits$}"),
        }
    }
}

fn draw(area: &Area<'_>, message: &str, rows: &[Row]) -> Result<(), PlotError> {
    let drawn: Vec<(&str, &Histogram)> = rows
        .iter()
        .filter_map(|row| Some((row.variant, row.latency.as_ref()?)))
        .collect();
    let all = drawn.iter().map(|(_, histogram)| histogram);
    let most_values = all.clone().map(|it| it.len()).max().unwrap_or(1);
    let low = all.clone().map(|it| it.min()).min().unwrap_or(1).max(1);
    let high = all.map(|it| it.max()).max().unwrap_or(1).max(low * 2);
    // One value more would be the next nine.
    let most = (most_values.max(10) as f64).log10();
    let (left, right) = area.split_horizontally(LEGEND_AT);
    let mut chart = ChartBuilder::on(&left)
        .caption(
            format!("{message}: from the scheduled send to the pop"),
            ("sans-serif", 18),
        )
        .margin(12)
        .x_label_area_size(30)
        .y_label_area_size(64)
        .build_cartesian_2d(
            Nines { most },
            (low as f64 * 0.8..high as f64 * 1.2).log_scale(),
        )
        .map_err(words)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .y_label_formatter(&|ns| nanos(*ns as u64))
        .label_style(("sans-serif", 14))
        .draw()
        .map_err(words)?;
    let places = (0..).map(|index| 50 + index * LEGEND_LINE);
    for ((row, color), y) in drawn.iter().zip(COLORS.iter().cycle()).zip(places) {
        let (name, histogram) = row;
        let points = (0..=STEPS).map(|step| {
            let nines = most * f64::from(step) / f64::from(STEPS);
            let at = histogram.value_at_quantile(share(nines));
            (nines, at.max(1) as f64)
        });
        let style = color.stroke_width(2);
        chart
            .draw_series(LineSeries::new(points, style))
            .map_err(words)?;
        let at = |quantile| nanos(histogram.value_at_quantile(quantile));
        let figures = format!("p50 {}, p99 {}, p99.9 {}", at(0.5), at(0.99), at(0.999));
        let dash = PathElement::new([(0, y + 7), (22, y + 7)], color.stroke_width(3));
        right.draw(&dash).map_err(words)?;
        for (text, size, below) in [((*name).to_owned(), 15, 0), (figures, 13, 16)] {
            let text = Text::new(text, (30, y + below), ("sans-serif", size));
            right.draw(&text).map_err(words)?;
        }
    }
    Ok(())
}

/// A page of its own: the picture, and the tables as text.
///
/// # Errors
/// Where the picture can't be drawn.
pub fn html(sitting: &Sitting) -> Result<String, PlotError> {
    let mut page = String::from(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>tickwire latency</title>\n\
         <style>body{font:15px sans-serif;max-width:1120px;margin:2em auto}pre{overflow:auto}</style>\n",
    );
    let _ = write!(
        page,
        "<h1>tickwire latency</h1>\n<p>{}</p>\n{}\n<pre>{}</pre>\n</html>\n",
        escaped(&sitting.head()),
        svg(sitting)?,
        escaped(&sitting.text())
    );
    Ok(page)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
