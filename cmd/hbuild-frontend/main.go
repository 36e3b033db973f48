// Command hbuild-frontend is the program of hbuild's frontend image: BuildKit runs
// it for a file that begins with a `# syntax=` line naming the image. It speaks
// with the daemon over its standard input and output, so nothing may be printed
// there; what it writes to standard error ends up in the daemon's log.
package main

import (
	"fmt"
	"os"

	"github.com/moby/buildkit/frontend/gateway/grpcclient"
	"github.com/moby/buildkit/util/appcontext"
	_ "github.com/moby/buildkit/util/grpcutil/encoding/proto" // the codec that the daemon speaks

	"github.com/hbuild/hbuild/llb/frontend"
)

func main() {
	if os.Getenv("BUILDKIT_SESSION_ID") == "" {
		fmt.Fprintln(os.Stderr, "hbuild-frontend is run by BuildKit, for files that begin with: # syntax=IMAGE")
		os.Exit(2)
	}
	if err := grpcclient.RunFromEnvironment(appcontext.Context(), frontend.Build); err != nil {
		// The caller has got it already, over the gateway.
		fmt.Fprintln(os.Stderr, "hbuild-frontend:", err)
		os.Exit(1)
	}
}
