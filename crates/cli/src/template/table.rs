//! Columns, as Go's `tabwriter` aligns them: at least 12 wide, two spaces apart.

const NARROWEST: usize = 12;
const GAP: usize = 2;

/// Replaces tabs by spaces so that what is between them stands in columns. The text after the last
/// tab of a line belongs to no column; a column ends with the lines that have it.
pub(super) fn align(text: &str) -> String {
    let lines: Vec<Vec<&str>> = text.split('\n').map(|line| line.split('\t').collect()).collect();
    let mut aligned = String::new();
    for (at, cells) in lines.iter().enumerate() {
        if at > 0 {
            aligned.push('\n');
        }
        for (column, cell) in cells.iter().enumerate() {
            aligned.push_str(cell);
            if cells.get(column.saturating_add(1)).is_some() {
                let width = width(&lines, at, column);
                let fill = width.saturating_sub(cell.chars().count());
                aligned.extend(std::iter::repeat_n(' ', fill));
            }
        }
    }
    aligned
}

/// The width of a column around a line.
fn width(lines: &[Vec<&str>], at: usize, column: usize) -> usize {
    let has = |line: &&Vec<&str>| line.get(column.saturating_add(1)).is_some();
    let above = lines.iter().take(at).rev().take_while(has);
    let below = lines.iter().skip(at).take_while(has);
    let cells = above.chain(below).filter_map(|cells| cells.get(column));
    let widest = cells.map(|cell| cell.chars().count()).max();
    widest.unwrap_or_default().saturating_add(GAP).max(NARROWEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest() {
        assert_eq!(
            align("a\tb\nlonger than that\tc\n"),
            "a                 b\nlonger than that  c\n"
        );
        assert_eq!(align("a\tb\n\nlonger than that\tc"), "a           b\n\nlonger than that  c");
    }
}
