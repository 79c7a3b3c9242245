# A guest of one boot disk: numbered frames, drawn in place.
#
#   as --32 -o paint.o paint.s && ld -m elf_i386 -Ttext 0x7c00 --oformat binary -o paint.img paint.o
#
# The boot sector loads the rest, a VESA BIOS sets a mode of 32 bits a pixel with a linear
# framebuffer, and protected mode draws the picture of ../src/pattern.rs into it, frame after frame,
# each over the one before. The first serial port reports in the words of ../src/line.rs.
#
# The words after the mark FANPAINT are for whoever makes the image to change.

        .intel_syntax noprefix
        .set    REST, 3                 # sectors behind the boot sector
        .set    VBE_INFO, 0x9000        # 512 bytes
        .set    MODE_INFO, 0x9200       # 256 bytes
        .set    IDT, 0xa000             # 48 gates
        .set    COM1, 0x3f8
        .set    TICKS_A_SECOND, 100
        .set    TILE, 32

        .code16
        .globl  _start
_start: jmp     begin
        .org    8
        .ascii  "FANPAINT"
hold:   .long   500                     # milliseconds between two frames
limit:  .long   0                       # frames to draw before it rests; 0: no end
width:  .word   640                     # a multiple of TILE that the VESA BIOS has a mode for
height: .word   480

begin:  cli
        xor     ax, ax
        mov     ds, ax
        mov     es, ax
        mov     ss, ax
        mov     sp, 0x7c00
        sti
        cld
        ljmp    0, offset load
load:   mov     ax, 0x0200 + REST       # read sectors, to es:bx, from cylinder 0, sector 2
        mov     bx, 0x7e00
        mov     cx, 2
        mov     dh, 0
        int     0x13
        mov     si, offset no_disk
        jnc     find_mode

fail:   lodsb                           # print what is at si, then rest
        test    al, al
        jz      1f
        mov     ah, 0x0e
        xor     bx, bx
        int     0x10
        jmp     fail
1:      cli
        hlt
        jmp     1b

no_disk: .asciz "paint: the rest of the disk can't be read"
no_vbe:  .asciz "paint: no VESA BIOS"
no_mode: .asciz "paint: no VESA mode of this size with 32 bits a pixel"

        .org    510
        .word   0xaa55

find_mode:
        mov     dword ptr [VBE_INFO], 0x32454256        # "VBE2": fill in all of it
        mov     ax, 0x4f00
        mov     di, VBE_INFO
        int     0x10
        mov     si, offset no_vbe
        cmp     ax, 0x004f
        jne     fail
        lfs     si, [VBE_INFO + 14]     # the list of modes
1:      mov     cx, fs:[si]
        add     si, 2
        cmp     cx, -1
        je      2f
        push    si
        push    fs
        push    cx
        mov     ax, 0x4f01
        mov     di, MODE_INFO
        int     0x10
        pop     cx
        pop     fs
        pop     si
        cmp     ax, 0x004f
        jne     1b
        mov     al, [MODE_INFO]         # supported, colour, graphics, linear framebuffer
        and     al, 0x99
        cmp     al, 0x99
        jne     1b
        cmp     byte ptr [MODE_INFO + 0x19], 32
        jne     1b
        mov     ax, [MODE_INFO + 0x12]
        cmp     ax, [width]
        jne     1b
        mov     ax, [MODE_INFO + 0x14]
        cmp     ax, [height]
        jne     1b
        mov     bx, cx
        or      bx, 0x4000              # with the linear framebuffer
        mov     ax, 0x4f02
        int     0x10
        cmp     ax, 0x004f
        je      protect
2:      mov     si, offset no_mode
        jmp     fail

protect:
        cli
        in      al, 0x92                # address line 20
        or      al, 2
        and     al, 0xfe
        out     0x92, al
        lgdt    [gdt_register]
        mov     eax, cr0
        or      al, 1
        mov     cr0, eax
        ljmp    8, offset enter

        .balign 8
gdt:    .quad   0
        .quad   0x00cf9a000000ffff      # code, all of memory
        .quad   0x00cf92000000ffff      # data, all of memory
gdt_register:
        .word   . - gdt - 1
        .long   gdt
idt_register:
        .word   48 * 8 - 1
        .long   IDT

        .code32
enter:  mov     ax, 16
        mov     ds, ax
        mov     es, ax
        mov     ss, ax
        mov     esp, 0x7c00
        movzx   eax, word ptr [MODE_INFO + 0x10]
        mov     [pitch], eax
        movzx   eax, word ptr [width]
        shr     eax, 5
        mov     [columns], eax
        movzx   eax, word ptr [height]
        shr     eax, 5
        mov     [rows], eax
        call    start_clock
        call    start_serial

        mov     esi, offset ready
        call    say
        movzx   eax, word ptr [width]
        call    say_number
        mov     al, 'x'
        call    say_byte
        movzx   eax, word ptr [height]
        call    say_number_and_end

next:   inc     dword ptr [frame]
        call    draw
        mov     esi, offset frame_word
        call    say
        mov     eax, [frame]
        call    say_number_and_end
        mov     eax, [limit]
        cmp     eax, [frame]
        je      rest
        call    pause
        jmp     next

rest:   mov     esi, offset done_word   # until a letter raises the limit
        call    say
1:      hlt
        call    listen
        mov     eax, [limit]
        cmp     eax, [frame]
        je      1b
        jmp     next

pause:  mov     eax, [hold]             # wait for the ticks that `hold` takes, rounded up
        mov     ecx, 1000 / TICKS_A_SECOND
        add     eax, ecx
        dec     eax
        xor     edx, edx
        div     ecx
        mov     ebx, [ticks]
        add     ebx, eax
1:      cmp     [ticks], ebx
        jns     2f
        hlt
        call    listen
        jmp     1b
2:      ret

# --- the picture: see ../src/pattern.rs -----------------------------------------------------------

draw:   mov     dword ptr [ty], 0
1:      mov     dword ptr [tx], 0
2:      call    draw_tile
        inc     dword ptr [tx]
        mov     eax, [tx]
        cmp     eax, [columns]
        jb      2b
        inc     dword ptr [ty]
        mov     eax, [ty]
        cmp     eax, [rows]
        jb      1b
        ret

draw_tile:
        mov     ecx, [tx]
        mov     edx, [ty]
        mov     eax, [frame]            # phase: 4 frame + 3 tx + 2 ty, modulo 64
        lea     eax, [ecx + eax * 4]
        lea     eax, [eax + ecx * 2]
        lea     eax, [eax + edx * 2]
        and     eax, 63
        mov     ebx, 63                 # wave: up and down again
        sub     ebx, eax
        cmp     eax, ebx
        cmova   eax, ebx
        push    eax
        call    is_lit
        pop     eax
        jc      1f
        imul    eax, eax, 0x010303
        add     eax, 0x203060
        jmp     2f
1:      imul    eax, eax, 0x010101
        neg     eax
        add     eax, 0xffc040
2:      mov     [colour], eax
        mov     ebx, eax
        shr     ebx, 2
        and     ebx, 0x3f3f3f
        sub     eax, ebx
        mov     [shade], eax

        mov     eax, [ty]               # where the tile begins
        imul    eax, eax, TILE
        imul    eax, [pitch]
        mov     edi, [tx]
        shl     edi, 7
        add     edi, eax
        add     edi, [MODE_INFO + 0x28]

        mov     ebx, [frame]
        call    draw_word
        mov     edx, TILE - 8
3:      mov     ecx, TILE
        mov     eax, [colour]
        rep     stosd
        call    next_row
        dec     edx
        jnz     3b
        mov     eax, [ty]               # check: frame * 0x9e3779b1 ^ (tile + 1) * 0x85ebca6b
        imul    eax, [columns]
        add     eax, [tx]
        inc     eax
        imul    eax, eax, 0x85ebca6b
        imul    ebx, ebx, 0x9e3779b1
        xor     ebx, eax
        # and on into draw_word

draw_word:                              # the 32 bits of ebx: two rows of cells of 2x2
        mov     edx, 4
1:      mov     esi, ebx
        test    edx, 4                  # edx: 4, 3 are the lower half, 2, 1 the upper
        jnz     2f
        cmp     edx, 3
        je      2f
        shr     esi, 16
2:      mov     ecx, 16
3:      mov     eax, [colour]
        shr     esi, 1
        jnc     4f
        mov     eax, [shade]
4:      stosd
        stosd
        loop    3b
        call    next_row
        dec     edx
        jnz     1b
        ret

next_row:
        add     edi, [pitch]
        sub     edi, TILE * 4
        ret

is_lit:                                 # carry: the tile tx, ty is part of a digit, or the mark
        mov     eax, [rows]
        dec     eax
        cmp     eax, [ty]
        jne     1f
        mov     eax, [frame]
        xor     edx, edx
        div     dword ptr [columns]
        cmp     edx, [tx]
        je      lit
1:      mov     ecx, [columns]
        sub     ecx, 15
        jb      dark
        shr     ecx, 1
        mov     edx, [rows]
        sub     edx, 5
        jb      dark
        shr     edx, 1
        mov     esi, [tx]               # esi: column of dots, edi: row of dots
        sub     esi, ecx
        cmp     esi, 15
        jae     dark
        mov     edi, [ty]
        sub     edi, edx
        cmp     edi, 5
        jae     dark
        mov     ecx, 3                  # ecx: how often to divide by ten
        mov     eax, esi
        shr     eax, 2
        sub     ecx, eax
        mov     eax, [frame]
        mov     ebx, 10
        inc     ecx
2:      xor     edx, edx
        div     ebx
        loop    2b
        and     esi, 3                  # edx: the digit
        cmp     esi, 3
        je      dark
        lea     edi, [edi + edi * 2]
        add     edi, esi
        mov     ecx, 14
        sub     ecx, edi
        movzx   eax, word ptr [digits + edx * 2]
        bt      eax, ecx
        ret
lit:    stc
        ret
dark:   clc
        ret

# --- clock and serial port ------------------------------------------------------------------------

start_clock:
        mov     edi, IDT                # no gate but the timer's
        xor     eax, eax
        mov     ecx, 48 * 2
        rep     stosd
        mov     eax, offset tick
        mov     [IDT + 32 * 8], ax
        mov     word ptr [IDT + 32 * 8 + 2], 8
        mov     word ptr [IDT + 32 * 8 + 4], 0x8e00
        shr     eax, 16
        mov     [IDT + 32 * 8 + 6], ax
        lidt    [idt_register]
        mov     al, 0x11                # interrupt controllers: vectors 32 and 40, only the timer
        out     0x20, al
        out     0xa0, al
        mov     al, 32
        out     0x21, al
        mov     al, 40
        out     0xa1, al
        mov     al, 4
        out     0x21, al
        mov     al, 2
        out     0xa1, al
        mov     al, 1
        out     0x21, al
        out     0xa1, al
        mov     al, 0xfe
        out     0x21, al
        mov     al, 0xff
        out     0xa1, al
        mov     al, 0x34                # timer: rate generator
        out     0x43, al
        mov     ax, 1193182 / TICKS_A_SECOND
        out     0x40, al
        mov     al, ah
        out     0x40, al
        sti
        ret

tick:   push    eax
        inc     dword ptr [ticks]
        mov     al, 0x20
        out     0x20, al
        pop     eax
        iretd

start_serial:                           # 115200 baud, 8 bits, no parity, no interrupts
        mov     esi, offset serial_setup
        mov     ecx, 6
1:      xor     eax, eax
        lodsb
        lea     edx, [eax + COM1]
        lodsb
        out     dx, al
        loop    1b
        ret

listen: mov     dx, COM1 + 5            # `n`: a frame more than the limit
        in      al, dx
        test    al, 1
        jz      1f
        mov     dx, COM1
        in      al, dx
        cmp     al, 'n'
        jne     1f
        cmp     dword ptr [limit], 0
        je      1f
        inc     dword ptr [limit]
1:      ret

say:    lodsb                           # the text at esi
        test    al, al
        jz      1f
        call    say_byte
        jmp     say
1:      ret

say_number_and_end:
        call    say_number
        mov     al, '\n'
        # and on into say_byte

say_byte:
        push    eax
        mov     dx, COM1 + 5
1:      in      al, dx                  # a port that is not there reads as ready
        test    al, 0x20
        jz      1b
        pop     eax
        mov     dx, COM1
        out     dx, al
        ret

say_number:                             # eax, decimal
        mov     ebx, 10
        xor     ecx, ecx
1:      xor     edx, edx
        div     ebx
        push    edx
        inc     ecx
        test    eax, eax
        jnz     1b
2:      pop     eax
        add     al, '0'
        call    say_byte
        loop    2b
        ret

digits: .word   0b111101101101111, 0b010110010010111, 0b111001111100111, 0b111001111001111
        .word   0b101101111001001, 0b111100111001111, 0b111100111101111, 0b111001001001001
        .word   0b111101111101111, 0b111101111001111
serial_setup:                           # register, value
        .byte   1, 0x00, 3, 0x80, 0, 0x01, 1, 0x00, 3, 0x03, 2, 0x07
ready:  .asciz  "ready "
frame_word: .asciz "frame "
done_word:  .asciz "done\n"

        .balign 4
frame:  .long   0
ticks:  .long   0
pitch:  .long   0
columns: .long  0
rows:   .long   0
tx:     .long   0
ty:     .long   0
colour: .long   0
shade:  .long   0

        .org    512 * (1 + REST)
