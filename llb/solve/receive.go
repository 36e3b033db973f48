package solve

import (
	"context"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/session"
	sessioncontent "github.com/moby/buildkit/session/content"
	"github.com/moby/buildkit/session/filesync"
	"github.com/tonistiigi/fsutil"
	fstypes "github.com/tonistiigi/fsutil/types"

	"github.com/containerd/containerd/v2/core/content"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// exporterID is the key under which a transfer says which export it is of: the index
// in [client.SolveOpt.Exports] (BuildKit's session/filesync).
const exporterID = "buildkit-attachable-exporter-id"

// directories receives exported directories, in place of BuildKit's own receiver.
// That one closes its [fsutil.Root] as soon as a transfer fails, while goroutines that
// fill files still have to end; when one of them then opens a directory below it, the
// process panics (fsutil of BuildKit v0.33). An interrupted build is such a transfer.
type directories struct {
	byExport map[int]string // where each is received
	prepare  map[string]func() error
	others   *filesync.SyncTarget
	running  sync.WaitGroup
}

// Register implements [session.Attachable].
func (d *directories) Register(server *grpc.Server) { filesync.RegisterFileSendServer(server, d) }

// DiffCopy implements filesync.FileSendServer.
func (d *directories) DiffCopy(stream filesync.FileSend_DiffCopyServer) error {
	d.running.Add(1)
	defer d.running.Done()
	md, _ := metadata.FromIncomingContext(stream.Context())
	// An engine that has no IDs has one export.
	id, _ := strconv.Atoi(strings.Join(md[exporterID], ""))
	dir, ok := d.byExport[id]
	if !ok {
		return d.others.DiffCopy(stream)
	}
	if err := d.prepare[dir](); err != nil {
		return err
	}
	open, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	root := fsutil.NewRoot(open)
	uid, gid := uint32(os.Getuid()), uint32(os.Getgid())
	err = fsutil.ReceiveRoot(stream.Context(), stream, root, fsutil.ReceiveOpt{Merge: true, Filter: func(_ string, st *fstypes.Stat) bool {
		st.Uid, st.Gid = uid, gid
		return true
	}})
	if err != nil {
		open.Close() // whoever comes late gets an error of it; of a closed root, a panic
		return err
	}
	return root.Close()
}

// wait waits until nothing is received any more, but not for long.
func (d *directories) wait() {
	done := make(chan struct{})
	go func() {
		d.running.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(cancelGrace):
	}
}

// receiveDirs makes the session of a build that receives directories as the client
// would, but for the receiver. It leaves a build alone that receives none, or where the
// client does more than that: it keeps the indexes of local caches and OCI layouts, and
// mirrors a directory. Directories are received in stagings. The returned function ends
// the session.
func (r *runner) receiveDirs(ctx context.Context, opt *client.SolveOpt, stagings ...*staging) (end func(), err error) {
	d := &directories{byExport: map[int]string{}, prepare: map[string]func() error{}, others: filesync.NewFSSyncTarget()}
	for _, s := range stagings {
		d.prepare[s.dir()] = s.prepare
	}
	none := func() {}
	byClient := func() (func(), error) { // whose receiver makes directories, and claims none
		for _, s := range stagings {
			if err := s.prepare(); err != nil {
				return nil, err
			}
		}
		return none, nil
	}
	for i, e := range opt.Exports {
		switch {
		case e.Type == client.ExporterLocal && e.Attrs["mode"] != string(client.LocalExporterModeDelete):
			d.byExport[i] = e.OutputDir
		case e.OutputDir != "" || e.OutputStore != nil:
			return byClient()
		case e.Output != nil:
			d.others.Add(filesync.WithFSSync(i, e.Output))
		}
	}
	for _, e := range append(opt.CacheImports[:len(opt.CacheImports):len(opt.CacheImports)], opt.CacheExports...) {
		if e.Type == "local" {
			return byClient()
		}
	}
	if len(d.byExport) == 0 {
		return none, nil
	}
	s := opt.SharedSession
	if s == nil {
		if s, err = session.NewSession(ctx, opt.SharedKey); err != nil {
			return nil, err
		}
	}
	if err := allow(s, opt, d); err != nil {
		return nil, err
	}
	opt.SharedSession, opt.SessionPreInitialized = s, true
	// A session that cannot be opened is one that the engine waits for in vain.
	dialer := r.req.Dialer
	if dialer == nil {
		dialer = r.client.Dialer()
	}
	go s.Run(context.WithoutCancel(ctx), dialer)
	return func() {
		s.Close()
		d.wait()
	}, nil
}

// allow gives a session what the engine may ask of it.
func allow(s *session.Session, opt *client.SolveOpt, d *directories) error {
	if len(opt.LocalMounts) > 0 {
		dirs := filesync.StaticDirSource{}
		for name, mount := range opt.LocalMounts {
			owned, err := fsutil.NewFilterFS(mount, &fsutil.FilterOpt{Map: func(_ string, st *fstypes.Stat) fsutil.MapResult {
				st.Uid, st.Gid = 0, 0
				return fsutil.MapResultKeep
			}})
			if err != nil {
				return err
			}
			dirs[name] = owned
		}
		s.Allow(filesync.NewFSSyncProvider(dirs))
	}
	for _, a := range opt.Session {
		s.Allow(a)
	}
	if len(opt.OCIStores) > 0 {
		stores := map[string]content.Store{}
		for name, store := range opt.OCIStores {
			stores["oci:"+name] = store
		}
		s.Allow(sessioncontent.NewAttachable(stores))
	}
	s.Allow(d)
	return nil
}
