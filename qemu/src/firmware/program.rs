//! Programs of a few bytes that say a word on the first serial line, for UEFI and for a BIOS.

use super::{BIOS_SAYS, EFI_SAYS};

const SERIAL: u16 = 0x3f8;
/// isohdpfx asks for this at byte 64, and jumps behind it (syslinux, `isohdpfx.S`).
const ISOLINUX_MARK: u32 = 0x7078_c0fb;

/// A PE32+ image (Microsoft, "PE Format") of one section, position-independent.
pub fn efi() -> Vec<u8> {
    let mut code = vec![0xba];
    code.extend(u32::from(SERIAL).to_le_bytes()); // mov edx, SERIAL
    code.extend([0x48, 0x8d, 0x35, 11, 0, 0, 0]); // lea rsi, [rip + 11]
    code.extend([0xac, 0x84, 0xc0, 0x74, 3]); // lodsb; test al, al; jz +3
    code.extend([0xee, 0xeb, 0xf8]); // out dx, al; jmp -8
    code.extend([0xf4, 0xeb, 0xfd]); // hlt; jmp -3
    code.extend(EFI_SAYS.bytes());
    code.extend(*b"\r\n\0");
    code.resize(0x200, 0);

    let mut image = vec![0; 0x400];
    let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"MZ");
    put(0x3c, &[0x80]);
    put(0x80, b"PE\0\0");
    put(0x84, &0x8664u16.to_le_bytes());
    put(0x86, &[1]); // sections
    put(0x94, &[0xf0]); // length of the optional header
    put(0x96, &0x0022u16.to_le_bytes()); // executable, large addresses
    let optional = 0x98;
    put(optional, &0x20bu16.to_le_bytes());
    put(optional + 4, &0x200u32.to_le_bytes()); // code
    put(optional + 16, &0x1000u32.to_le_bytes()); // entry
    put(optional + 20, &0x1000u32.to_le_bytes()); // base of code
    put(optional + 32, &0x1000u32.to_le_bytes()); // alignment in memory
    put(optional + 36, &0x200u32.to_le_bytes()); // alignment in the file
    put(optional + 56, &0x2000u32.to_le_bytes()); // size of the image
    put(optional + 60, &0x400u32.to_le_bytes()); // size of the headers
    put(optional + 68, &10u16.to_le_bytes()); // an EFI application
    put(optional + 108, &[16]); // data directories, all empty
    let section = optional + 0xf0;
    put(section, b".text");
    put(section + 8, &0x200u32.to_le_bytes());
    put(section + 12, &0x1000u32.to_le_bytes());
    put(section + 16, &0x200u32.to_le_bytes());
    put(section + 20, &0x400u32.to_le_bytes());
    put(section + 36, &0x6000_0020u32.to_le_bytes()); // code, executable, readable
    image.extend(code);
    image
}

/// Four sectors of 512 bytes: entered at byte 0 from a disc, behind the mark by isohdpfx.
pub fn bios() -> Vec<u8> {
    let mut image = vec![0xeb, 66]; // jmp to 68
    image.resize(64, 0);
    image.extend(ISOLINUX_MARK.to_le_bytes());
    image.extend([0xe8, 0, 0, 0x5e, 0x83, 0xc6, 19]); // call +0; pop si; add si, 19
    image.extend([0xba]);
    image.extend(SERIAL.to_le_bytes()); // mov dx, SERIAL
    image.extend([0x2e, 0xac, 0x84, 0xc0, 0x74, 3]); // cs lodsb; test al, al; jz +3
    image.extend([0xee, 0xeb, 0xf7]); // out dx, al; jmp -9
    image.extend([0xf4, 0xeb, 0xfd]); // hlt; jmp -3
    image.extend(BIOS_SAYS.bytes());
    image.extend(*b"\r\n\0");
    image.resize(2048, 0);
    image
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_lie_where_the_code_looks_for_them() {
        let image = bios();
        assert_eq!(
            &image[71 + 19..71 + 19 + BIOS_SAYS.len()],
            BIOS_SAYS.as_bytes()
        );
        let image = efi();
        let behind_lea = 0x400 + 5 + 7;
        assert_eq!(
            &image[behind_lea + 11..][..EFI_SAYS.len()],
            EFI_SAYS.as_bytes()
        );
    }
}
