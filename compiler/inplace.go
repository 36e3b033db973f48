package compiler

import (
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/hbuild/hbuild/compiler/eval"
	"github.com/hbuild/hbuild/compiler/importer"
	"github.com/hbuild/hbuild/lang/diag"
)

// importDockerfile is the importer for dockerfile(). What it left out because it
// has no effect, and stages that nobody asked for, are no concern of who uses a
// stage in place.
func importDockerfile(src []byte, req eval.DockerfileRequest) (*eval.ImportedDockerfile, hcl.Diagnostics) {
	res, diags := importer.Import(src, importer.Options{Name: req.Name, Target: req.Target, Args: req.Args, Platform: req.Platform})
	diags = slices.DeleteFunc(diags, func(d *hcl.Diagnostic) bool {
		code := diag.InfoOf(d).Code
		return code == importer.CodeDropped || code == importer.CodeLeftOut
	})
	if res == nil {
		return nil, diags
	}
	return &eval.ImportedDockerfile{HCL: res.HCL, Stage: strings.TrimPrefix(res.Default, "stage."), Lines: res.Lines, Names: res.Names, Addrs: res.Stages, TargetStage: res.TargetStage}, diags
}
