package compiler

import (
	"fmt"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/hbuild/hbuild/internal/benchgen"
)

// BenchmarkCompile measures reading, checking and assembling a module of stages;
// BenchmarkParse the bare HCL parse of the same bytes, which is the floor.
func BenchmarkCompile(b *testing.B) {
	for _, n := range []int{100, 1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			fsys := benchgen.Files(n / 2)
			b.SetBytes(int64(len(fsys["hbuild.hcl"].Data)))
			b.ReportAllocs()
			for b.Loop() {
				if diags := Load(fsys, ".", Options{}).Check(); diags.HasErrors() {
					b.Fatal(diags)
				}
			}
		})
	}
}

// BenchmarkModules is BenchmarkCompile for a tree of modules.
func BenchmarkModules(b *testing.B) {
	for _, n := range []int{10, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			fsys := benchgen.Modules(n, 10)
			b.ReportAllocs()
			for b.Loop() {
				if diags := Load(fsys, ".", Options{}).Check(); diags.HasErrors() {
					b.Fatal(diags)
				}
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	for _, n := range []int{100, 1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			src := benchgen.Module(n / 2)
			b.SetBytes(int64(len(src)))
			b.ReportAllocs()
			for b.Loop() {
				if _, diags := hclsyntax.ParseConfig(src, "hbuild.hcl", hcl.InitialPos); diags.HasErrors() {
					b.Fatal(diags)
				}
			}
		})
	}
}
