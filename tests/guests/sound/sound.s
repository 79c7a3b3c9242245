# A guest of one boot sector that can be heard, and hears.
#
#   as --32 -o sound.o sound.s && ld -m elf_i386 -Ttext 0x7c00 --oformat binary -o sound.img sound.o
#
# The PC speaker plays a square wave of 440 Hz without end. At a letter on the first serial port an AC97 (at PCI address
# 00:05.0) records 65536 frames at 48 kHz, and how often the left channel's sign has changed is reported there, in the
# words of ../src/line.rs.

        .intel_syntax noprefix
        .set    COM1, 0x3f8
        .set    AC97, 0x80002800        # PCI: bus 0, device 5
        .set    LIST, 0x1000            # 32 buffers, one after the other
        .set    BUFFERS, 0x10000
        .set    LENGTH, 0x1000          # of each, in samples of 16 bits: two are a frame

        .code16
        .globl  _start
_start: cli
        cld
        xor     ax, ax
        mov     ds, ax
        mov     es, ax
        mov     ss, ax
        mov     sp, 0x7c00
        mov     si, offset serial_setup # 115200 baud, 8 bits, no parity, no interrupts
        mov     cx, 6
1:      xor     ax, ax
        lodsb
        mov     dx, COM1
        add     dx, ax
        lodsb
        out     dx, al
        loop    1b
        mov     al, 0xb6                # timer 2: square wave
        out     0x43, al
        mov     ax, 1193182 / 440
        out     0x42, al
        mov     al, ah
        out     0x42, al
        in      al, 0x61                # to the speaker
        or      al, 3
        out     0x61, al
        mov     si, offset beeps
        call    say
        sti                             # the firmware's clock

next:   hlt
        mov     dx, COM1 + 5            # a letter
        in      al, dx
        test    al, 1
        jz      next
        mov     dx, COM1
        in      al, dx
        call    record
        mov     si, offset heard
        call    say
        mov     eax, ebp
        call    say_number
        mov     si, offset end
        call    say
        jmp     next

record: mov     eax, AC97 + 4           # may use ports and memory
        call    config
        in      eax, dx
        or      al, 5
        out     dx, eax
        mov     eax, AC97 + 0x10        # bp: the mixer's ports
        call    config
        in      eax, dx
        and     al, 0xfc
        mov     bp, ax
        mov     eax, AC97 + 0x14        # bx: the bus master's
        call    config
        in      eax, dx
        and     al, 0xfc
        mov     bx, ax
        lea     dx, [bx + 0x2c]         # no reset
        mov     eax, 2
        out     dx, eax
        lea     dx, [bp + 0x1c]         # record gain: all, not muted
        mov     ax, 0x0f0f
        out     dx, ax
        mov     di, LIST
        mov     eax, BUFFERS
        mov     cx, 32
1:      stosd
        mov     dword ptr [di], LENGTH
        add     di, 4
        add     eax, LENGTH * 2
        loop    1b
        lea     dx, [bx + 0x0b]         # reset, list, last of it, run
        mov     al, 2
        out     dx, al
        mov     dx, bx
        mov     eax, LIST
        out     dx, eax
        lea     dx, [bx + 5]
        mov     al, 31
        out     dx, al
        lea     dx, [bx + 0x0b]
        mov     al, 1
        out     dx, al
2:      hlt
        lea     dx, [bx + 6]            # until it has come to the end
        in      ax, dx
        test    al, 1
        jz      2b
        lea     dx, [bx + 0x0b]
        xor     al, al
        out     dx, al

        xor     ebp, ebp                # how often the left channel's sign has changed
        xor     dx, dx
        mov     bx, BUFFERS >> 4
3:      mov     fs, bx
        xor     si, si
4:      mov     ax, fs:[si]
        xor     dx, ax
        jns     5f
        inc     ebp
5:      mov     dx, ax
        add     si, 4
        jnz     4b
        add     bx, 0x1000
        cmp     bx, (BUFFERS + 32 * LENGTH * 2) >> 4
        jb      3b
        ret

config: mov     dx, 0xcf8               # the register eax, at port dx
        out     dx, eax
        mov     dx, 0xcfc
        ret

say:    lodsb                           # the text at si
        test    al, al
        jz      1f
        call    say_byte
        jmp     say
1:      ret

say_byte:
        push    ax
        mov     dx, COM1 + 5
1:      in      al, dx
        test    al, 0x20
        jz      1b
        pop     ax
        mov     dx, COM1
        out     dx, al
        ret

say_number:                             # eax, decimal
        mov     ebx, 10
        xor     cx, cx
1:      xor     edx, edx
        div     ebx
        push    dx
        inc     cx
        test    eax, eax
        jnz     1b
2:      pop     ax
        add     al, '0'
        call    say_byte
        loop    2b
        ret

serial_setup:                           # register, value
        .byte   1, 0x00, 3, 0x80, 0, 0x01, 1, 0x00, 3, 0x03, 2, 0x07
beeps:  .asciz  "ok\n"
heard:  .asciz  "heard "
end:    .asciz  "\n"

        .org    510
        .word   0xaa55
