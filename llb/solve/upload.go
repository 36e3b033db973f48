package solve

import (
	"fmt"
	"io"
	"path"

	"github.com/moby/buildkit/session/upload"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// UploadAddress is the address under which the daemon fetches an upload of the
// session: its scheme and host are BuildKit's word for "ask the client".
func UploadAddress(name string) string { return "http://buildkit-session/" + name }

// uploads serves files to the daemon, any number of times: builds that share one
// have sessions of their own.
type uploads map[string]func() (io.ReadCloser, error)

// Register implements session.Attachable.
func (u uploads) Register(server *grpc.Server) { upload.RegisterUploadServer(server, u) }

// Pull implements upload.UploadServer.
func (u uploads) Pull(stream upload.Upload_PullServer) error {
	name := ""
	if md, ok := metadata.FromIncomingContext(stream.Context()); ok {
		if paths := md["urlpath"]; len(paths) > 0 {
			name = path.Base(paths[0])
		}
	}
	open := u[name]
	if open == nil {
		return fmt.Errorf("nothing is uploaded as %q", name)
	}
	r, err := open()
	if err != nil {
		return err
	}
	defer r.Close()
	buf := make([]byte, 1<<20)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			if err := stream.SendMsg(&upload.BytesMessage{Data: buf[:n]}); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
