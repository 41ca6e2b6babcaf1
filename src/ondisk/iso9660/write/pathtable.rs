//! Path tables (ECMA-119 9.4): all directories with their sectors, in one list.

use super::names::Names;
use super::tree::Node;

/// A byte order: type L is little-endian, type M big-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Type L.
    Little,
    /// Type M.
    Big,
}

/// The table; `sectors` are those of the directories, in the order of `names.directories`.
pub fn bytes(nodes: &[Node], names: &Names, sectors: &[u32], order: Order) -> Vec<u8> {
    let mut number = vec![0u16; nodes.len()];
    // At most 65,535 directories: `tree::nodes` refuses more.
    for (n, directory) in (1..=u16::MAX).zip(&names.directories) {
        number[*directory] = n;
    }
    let mut table = Vec::new();
    for (directory, sector) in names.directories.iter().zip(sectors) {
        let id: &[u8] = match directory {
            0 => &[0],
            _ => &names.ids[*directory],
        };
        let parent = number[nodes[*directory].parent];
        table.extend([id.len() as u8, 0]);
        match order {
            Order::Little => {
                table.extend(sector.to_le_bytes());
                table.extend(parent.to_le_bytes());
            }
            Order::Big => {
                table.extend(sector.to_be_bytes());
                table.extend(parent.to_be_bytes());
            }
        }
        table.extend(id);
        table.resize(table.len().next_multiple_of(2), 0);
    }
    table
}
