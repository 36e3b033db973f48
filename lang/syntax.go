package lang

import (
	"github.com/hashicorp/hcl/v2"

	"github.com/hbuild/hbuild/lang/diag"
)

// explainSyntax gives HCL's own syntax errors a code.
func explainSyntax(src Source, diags hcl.Diagnostics) hcl.Diagnostics {
	for _, d := range diags {
		code := diag.Syntax
		if d.Summary == "Attribute redefined" {
			code = diag.Duplicate
		}
		d.Extra = &diag.Info{Code: code}
	}
	return diags
}
