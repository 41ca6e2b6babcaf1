#!/usr/bin/env python3
"""Cuts the index files of a kernel's modules (first argument: /usr/lib/modules/VER) down to
what tests/drivers.rs reads (second: the .xz to write): without networks, graphics, sound
and the like, of which only what others depend on stays. The .xz beside this file are of
Debian's 6.1.0-56, 6.12.95+deb12 and 7.2.12+deb14, amd64."""
import sys,os,re,lzma
d,out=sys.argv[1:3]
drop=re.compile(r'kernel/(net|sound|samples|drivers/(net|gpu|media|iio|hwmon|infiniband|staging|isdn|video|atm|rtc|watchdog|comedi|bluetooth|leds|power|regulator|nfc|w1|thermal|char|edac|mtd|gnss|target|vhost|bcma|ssb|usb/(gadget|serial|misc|atm|class))/|drivers/(comedi|input/(touchscreen|joystick|misc|tablet)))')
rd=lambda n: open(d+'/'+n,'rb').read().decode('latin1') if os.path.exists(d+'/'+n) else ''
norm=lambda p: re.sub(r'\.ko.*','',os.path.basename(p)).replace('-','_')
dep=[l for l in rd('modules.dep').splitlines()]
paths={norm(l.split(':')[0]):l.split(':')[0] for l in dep}
base=lambda p: not drop.match(p)
need={}
for l in dep:
    a,b=l.split(':'); need[norm(a)]=[norm(x) for x in b.split()]
keep={m for m,p in paths.items() if base(p)}
todo=list(keep)
while todo:
    for n in need[todo.pop()]:
        if n not in keep: keep.add(n); todo.append(n)
txt=lambda ls: ''.join(l+'\n' for l in ls)
files={
 'modules.dep':txt(l for l in dep if norm(l.split(':')[0]) in keep),
 'modules.alias':txt(l for l in rd('modules.alias').splitlines() if not l.startswith('#') and l.split()[-1].replace('-','_') in keep),
 'modules.softdep':txt(l for l in rd('modules.softdep').splitlines() if not l.startswith('#') and l.split()[1].replace('-','_') in keep),
 'modules.weakdep':txt(l for l in rd('modules.weakdep').splitlines() if not l.startswith('#') and l.split()[1].replace('-','_') in keep),
 'modules.builtin':rd('modules.builtin'),
 'modules.builtin.modinfo':txt(l for l in rd('modules.builtin.modinfo').split('\0') if '.alias=' in l),
}
s=''.join(f'== {n}\n{t}' for n,t in files.items())
b=lzma.compress(s.encode('latin1'),preset=9|lzma.PRESET_EXTREME,check=lzma.CHECK_CRC32)
open(out,'wb').write(b); print(out,len(s),len(b),len(keep),len(paths))
