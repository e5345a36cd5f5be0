//! Tables: padded columns with a header and bars at a terminal, tabs elsewhere.

use gettone::openapi::Decimal;

/// A table: padded columns with a header at a terminal, otherwise values with a tab between them, and no header.
pub struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    /// What the bar after each row shows. Empty without a chart.
    bars: Vec<Decimal>,
}

impl Table {
    pub fn new<const N: usize>(header: [&'static str; N]) -> Self {
        Self { header: header.to_vec(), rows: Vec::new(), bars: Vec::new() }
    }

    /// Returns a table with a row for each entry.
    pub fn of<T, const N: usize>(header: [&'static str; N], entries: &[T], row: impl Fn(&T) -> [String; N]) -> Self {
        let mut table = Self::new(header);
        entries.iter().for_each(|entry| table.row(row(entry)));
        table
    }

    /// Returns a table of one thing: a row for each field that is known, and no header.
    pub fn fields(fields: impl IntoIterator<Item = (&'static str, Option<String>)>) -> Self {
        let mut table = Self::new(["", ""]);
        for (name, value) in fields {
            if let Some(value) = value {
                table.row([name.to_owned(), value]);
            }
        }
        table
    }

    /// Adds a row. A service's text may contain control characters, which a terminal would obey and a tab would split: they become blanks.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(|cell| cell.replace(is_obeyed, " ")).to_vec());
    }

    /// Draws a bar after each row at a terminal. The longest bar is that of the largest value.
    pub fn with_bars(self, values: impl IntoIterator<Item = Decimal>) -> Self {
        Self { bars: values.into_iter().collect(), ..self }
    }

    /// Returns whether a column has numbers only, which end at its right edge.
    fn is_numeric(&self, column: usize) -> bool {
        let mut cells = self.rows.iter().filter_map(|row| row.get(column)).filter(|cell| !cell.is_empty()).peekable();
        cells.peek().is_some() && cells.all(|cell| cell.parse::<Decimal>().is_ok())
    }

    /// Returns the table for a terminal of this width.
    pub fn padded(&self, columns: usize, bold: impl Fn(&str) -> String) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let header: Vec<String> = self.header.iter().map(|name| (*name).to_owned()).collect();
        let all = || std::iter::once(&header).chain(&self.rows);
        let mut widths: Vec<usize> = (0..header.len())
            .map(|column| all().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0))
            .collect();
        fit(&mut widths, &self.header, columns);
        let is_numeric: Vec<bool> = (0..header.len()).map(|column| self.is_numeric(column)).collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).zip(&is_numeric);
            let cells = cells.map(|((cell, width), is_numeric)| {
                let cell = shortened(cell, *width);
                if *is_numeric { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
            });
            cells.collect::<Vec<_>>().join("  ")
        };
        let bars = bars(&self.bars, columns.saturating_sub(widths.iter().map(|width| width + 2).sum()));
        let bars = bars.into_iter().chain(std::iter::repeat(String::new()));
        let rows =
            self.rows.iter().zip(bars).map(|(row, bar)| format!("{}\n", format!("{}  {bar}", line(row)).trim_end()));
        let has_header = self.header.iter().any(|name| !name.is_empty());
        let header = has_header.then(|| format!("{}\n", bold(line(&header).trim_end())));
        header.into_iter().chain(rows).collect()
    }

    pub fn tabbed(&self) -> String {
        self.rows.iter().map(|row| format!("{}\n", row.join("\t"))).collect()
    }
}

/// The columns that a narrow terminal shows in part. What people copy, such as ids and tokens, stays whole.
const SHORTENED: [&str; 6] = ["DESCRIPTION", "MESSAGE", "NAME", "SCOPES", "URL", "VALUE"];

/// Makes the widest of the columns narrower until the table fits, or until hardly anything of them is left.
fn fit(widths: &mut [usize], header: &[&str], columns: usize) {
    const LEAST: usize = 10;

    while widths.iter().map(|width| width + 2).sum::<usize>() > columns + 2 {
        let long = widths.iter_mut().zip(header).filter(|(width, name)| **width > LEAST && SHORTENED.contains(name));
        match long.map(|(width, _)| width).max() {
            Some(width) => *width -= 1,
            None => return,
        }
    }
}

/// Returns a cell in at most this many characters, without its middle if it has more: both ends of a name or a path tell which one it is.
fn shortened(cell: &str, width: usize) -> String {
    let characters: Vec<char> = cell.chars().collect();
    if characters.len() <= width {
        return cell.to_owned();
    }
    let (start, end) = (width / 2, (width - 1) / 2);
    let (start, end) = (characters.iter().take(start), characters.iter().skip(characters.len() - end));
    start.chain(['…'].iter()).chain(end).collect()
}

/// Returns whether a terminal obeys a character instead of showing it: control characters, and those that hide text or turn it around.
pub fn is_obeyed(character: char) -> bool {
    let is_hidden = matches!(
        character,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
    );
    character.is_control() || is_hidden
}

/// Returns a text with a blank for each character that a terminal would obey, but for the ends of lines.
pub fn visible(text: &str) -> String {
    text.replace(|character| character != '\n' && is_obeyed(character), " ")
}

/// Returns a bar for each value, in the room that a line has left. None if there is hardly any room.
fn bars(values: &[Decimal], room: usize) -> Vec<String> {
    let room = room.min(40);
    let most = values.iter().copied().max().unwrap_or_default();
    if room < 8 || most <= Decimal::ZERO {
        return Vec::new();
    }
    let length = |value: &Decimal| value.checked_mul(room.into())?.checked_div(most)?.ceil().try_into().ok();
    values.iter().map(|value| "█".repeat(length(value).unwrap_or(0).min(room))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let rows = [("GET:a.it/long", "9.00", 9), ("è", "-0.045", 1), ("", "", 0)];
        let table = Table::of(["SCOPE", "EUR"], &rows, |(scope, euro, _)| [(*scope).to_owned(), (*euro).to_owned()]);
        table.with_bars(rows.iter().map(|(_, _, value)| Decimal::from(*value)))
    }

    #[test]
    fn a_cell_obeys_the_table() {
        let table = Table::of(["A", "B"], &[("a\tb\n\x1b[31m", "è")], |(a, b)| [(*a).to_owned(), (*b).to_owned()]);
        assert_eq!(table.tabbed(), "a b  [31m\tè\n");
        assert_eq!(table.padded(80, str::to_owned), "A          B\na b  [31m  è\n");
    }

    #[test]
    fn numbers_end_at_the_right_edge_and_the_longest_bar_fills_the_room() {
        let bold = |header: &str| format!("<{header}>");
        let rows = "GET:a.it/long    9.00  ██████████\nè              -0.045  ██\n\n";
        assert_eq!(table().padded(33, bold), format!("<SCOPE             EUR>\n{rows}"));
        // Where a bar has hardly any room, there is none.
        assert_eq!(
            table().padded(30, bold),
            format!("<SCOPE             EUR>\n{}", rows.replace(['█'], "").replace("  \n", "\n"))
        );
        assert!(table().padded(1_000, bold).contains(&format!("{}\n", "█".repeat(40))));
    }

    #[test]
    fn a_narrow_terminal_shows_names_in_part_and_ids_whole() {
        let rows = [("0123456789", "a-name-of-twenty-one-è", "TOKEN"), ("id", "short", "")];
        let table =
            Table::of(["ID", "NAME", "TOKEN"], &rows, |(id, name, token)| [id, name, token].map(|cell| (*cell).into()));
        assert!(table.padded(41, str::to_owned).contains("0123456789  a-name-of-twenty-one-è  TOKEN\n"));
        assert!(table.padded(40, str::to_owned).contains("0123456789  a-name-of-…enty-one-è  TOKEN\n"));
        let narrow = "ID          NAME        TOKEN\n0123456789  a-nam…ne-è  TOKEN\nid          short\n";
        assert_eq!((table.padded(29, str::to_owned), table.padded(1, str::to_owned)), (narrow.into(), narrow.into()));
        assert!(table.tabbed().contains("\ta-name-of-twenty-one-è\t"));
    }

    #[test]
    fn elsewhere_there_are_tabs_alone() {
        assert_eq!(table().tabbed(), "GET:a.it/long\t9.00\nè\t-0.045\n\t\n");
        assert_eq!(Table::new(["A"]).padded(80, str::to_owned), "");
    }
}
