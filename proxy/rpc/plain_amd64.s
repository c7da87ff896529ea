#include "textflag.h"

// Bytes that end plain text, 32 of each.
DATA quote<>+0(SB)/8, $0x2222222222222222
DATA slant<>+0(SB)/8, $0x5c5c5c5c5c5c5c5c
DATA space<>+0(SB)/8, $0x2020202020202020
GLOBL quote<>(SB), RODATA|NOPTR, $8
GLOBL slant<>(SB), RODATA|NOPTR, $8
GLOBL space<>(SB), RODATA|NOPTR, $8

// func plainRun(p *byte, n int) int
//
// n is a multiple of 32. As signed bytes, control characters and what is not ASCII are all below the space.
TEXT ·plainRun(SB), NOSPLIT, $0-24
	MOVQ p+0(FP), SI
	MOVQ n+8(FP), CX
	VPBROADCASTQ quote<>(SB), Y1
	VPBROADCASTQ slant<>(SB), Y2
	VPBROADCASTQ space<>(SB), Y3
	XORQ AX, AX

loop:
	CMPQ AX, CX
	JGE  done
	VMOVDQU (SI)(AX*1), Y0
	VPCMPEQB Y0, Y1, Y4
	VPCMPEQB Y0, Y2, Y5
	VPCMPGTB Y0, Y3, Y6 // space > byte
	VPOR Y4, Y5, Y4
	VPOR Y4, Y6, Y4
	VPMOVMSKB Y4, DX
	TESTL DX, DX
	JNZ  found
	ADDQ $32, AX
	JMP  loop

found:
	BSFL DX, DX
	ADDQ DX, AX

done:
	VZEROUPPER
	MOVQ AX, ret+16(FP)
	RET

// func marks64(p *byte) (quote, slant, other uint64)
TEXT ·marks64(SB), NOSPLIT, $0-32
	MOVQ p+0(FP), SI
	VPBROADCASTQ quote<>(SB), Y1
	VPBROADCASTQ slant<>(SB), Y2
	VPBROADCASTQ space<>(SB), Y3
	VMOVDQU (SI), Y0
	VMOVDQU 32(SI), Y7
	VPCMPEQB Y0, Y1, Y4
	VPCMPEQB Y7, Y1, Y5
	VPMOVMSKB Y4, AX
	VPMOVMSKB Y5, BX
	SHLQ $32, BX
	ORQ  BX, AX
	MOVQ AX, quote+8(FP)
	VPCMPEQB Y0, Y2, Y4
	VPCMPEQB Y7, Y2, Y5
	VPMOVMSKB Y4, AX
	VPMOVMSKB Y5, BX
	SHLQ $32, BX
	ORQ  BX, AX
	MOVQ AX, slant+16(FP)
	VPCMPGTB Y0, Y3, Y4
	VPCMPGTB Y7, Y3, Y5
	VPMOVMSKB Y4, AX
	VPMOVMSKB Y5, BX
	SHLQ $32, BX
	ORQ  BX, AX
	MOVQ AX, other+24(FP)
	VZEROUPPER
	RET

// func textRun(p *byte, n int) int
//
// AX is where the 32 bytes at hand begin, DX marks what is not plain among them. An escape needs the byte after the last of them, too.
TEXT ·textRun(SB), NOSPLIT, $0-24
	MOVQ p+0(FP), SI
	MOVQ n+8(FP), CX
	SUBQ $33, CX // the last place for AX
	LEAQ ·shortEscape(SB), R8
	VPBROADCASTQ quote<>(SB), Y1
	VPBROADCASTQ slant<>(SB), Y2
	VPBROADCASTQ space<>(SB), Y3
	XORQ AX, AX

block:
	CMPQ AX, CX
	JGT  done
	VMOVDQU (SI)(AX*1), Y0
	VPCMPEQB Y0, Y1, Y4
	VPCMPEQB Y0, Y2, Y5
	VPCMPGTB Y0, Y3, Y6
	VPOR Y4, Y5, Y4
	VPOR Y4, Y6, Y4
	VPMOVMSKB Y4, DX
	TESTL DX, DX
	JZ   next
	POPCNTL DX, BX
	CMPL BX, $4 // where there is more than that, the processor guesses wrong too often
	JGT  done

mark:
	BSFL DX, BX
	LEAQ (AX)(BX*1), DI
	CMPB (SI)(DI*1), $0x5c
	JNE  stop
	MOVBLZX 1(SI)(DI*1), R9
	CMPB (R8)(R9*1), $0
	JEQ  stop
	CMPL BX, $31
	JEQ  last
	BTRL BX, DX
	INCL BX
	BTRL BX, DX // what is escaped counts no more
	TESTL DX, DX
	JNZ  mark

next:
	ADDQ $32, AX
	JMP  block

last:
	ADDQ $33, AX // what is escaped is beyond
	JMP  block

stop:
	MOVQ DI, AX

done:
	VZEROUPPER
	MOVQ AX, ret+16(FP)
	RET
