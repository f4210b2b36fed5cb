//! Tests of `machine`.

use super::*;

fn line(machine: &Machine, media: &Media, wiring: Wiring) -> String {
    let arguments = machine.arguments(media, wiring, Path::new("/t/log"));
    let words: Vec<_> = arguments
        .iter()
        .map(|word| word.to_str().unwrap())
        .collect();
    words.join(" ")
}

#[test]
fn a_direct_boot_passes_the_image_twice() {
    let machine = Machine::new(BootWay::Direct)
        .board("pc")
        .smp(Smp::parse("2,maxcpus=8").unwrap())
        .memory(Memory::parse("8G").unwrap())
        .cpu("qemu64")
        .accel(Accel::Tcg)
        .log("int")
        .args(["-device", "edu"]);
    let media = Media::Kernel {
        kernel: "/a,b/k.elf".into(),
        module: Some("/a,b/k.elf".into()),
        append: "run=\"memory; poweroff\"".to_owned(),
    };
    let wiring = Wiring::Sockets { serial: 3, qmp: 4 };
    assert_eq!(
        line(&machine, &media, wiring),
        "-nodefaults -display none -machine pc -accel tcg -cpu qemu64 \
         -smp 2,maxcpus=8 -m 8192M -device isa-debug-exit,iobase=0xf4,iosize=4 \
         -chardev socket,id=com1,fd=3 -serial chardev:com1 \
         -chardev socket,id=qmp,fd=4 -mon chardev=qmp,mode=control -no-reboot -S \
         -d cpu_reset,int -D /t/log -kernel /a,b/k.elf -initrd /a,b/k.elf \
         -append run=\"memory; poweroff\" -device edu"
    );
    assert_eq!(machine.describe(), "pc, 2 CPUs, 8 GiB, TCG");
}

#[test]
fn uefi_code_is_read_only_where_variables_are_apart() {
    let machine = Machine::new(BootWay::LimineUefi)
        .accel(Accel::Tcg)
        .reboots();
    let media = |vars: Option<&str>| Media::UefiCd {
        iso: "/t/k.iso".into(),
        firmware: Firmware {
            code: "/f/CODE.fd".into(),
            vars: vars.map(PathBuf::from),
        },
    };
    let wiring = Wiring::Terminal { qmp: 3 };
    let apart = line(&machine, &media(Some("/t/vars.fd")), wiring);
    assert!(apart.ends_with(
        "-drive if=pflash,unit=0,format=raw,readonly=on,file=/f/CODE.fd \
         -drive if=pflash,unit=1,format=raw,file=/t/vars.fd \
         -drive if=ide,media=cdrom,readonly=on,format=raw,file=/t/k.iso"
    ));
    assert!(apart.contains("-serial mon:stdio"));
    assert!(!apart.contains("-no-reboot"));
    let whole = line(&machine, &media(None), wiring);
    assert!(whole.contains("-drive if=pflash,unit=0,format=raw,file=/f/CODE.fd"));
}

#[test]
fn counting_instructions_is_tcg() {
    let machine = Machine::new(BootWay::Direct).icount("shift=0,sleep=off");
    assert_eq!(machine.accel, Accel::Tcg);
    let media = Media::Kernel {
        kernel: "k".into(),
        module: None,
        append: String::new(),
    };
    let line = line(&machine, &media, Wiring::Terminal { qmp: 3 });
    assert!(line.contains("-icount shift=0,sleep=off"));
    assert!(!line.contains("-append") && !line.contains("-initrd"));
}
