package main

import (
	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
)

// queueForwarded gives every new connection that this network namespace forwards to the queue: so those of pods, also
// to a Service, whose address kube-proxy has replaced by then. The node's own connections to its pods, such as
// kubelet's probes, are not forwarded and pass, as Kubernetes says that they must.
//
// The rule stays when the process ends: without an enforcer there are no new connections, rather than any.
//
// The engine's own rules use nft's queue expression, which some kernels lack; the target of iptables is in all of them.
func queueForwarded(number uint16) error {
	nft, err := nftables.New()
	if err != nil {
		return err
	}
	table := &nftables.Table{Name: "network-policy", Family: nftables.TableFamilyIPv4}
	nft.AddTable(table)
	nft.DelTable(table) // of an earlier process, in the same transaction
	nft.AddTable(table)
	chain := nft.AddChain(&nftables.Chain{
		Name: "forward", Table: table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter,
	})
	info := xt.Unknown(binaryutil.NativeEndian.PutUint16(number)) // struct xt_NFQ_info
	nft.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
		&expr.Ct{Register: 1, Key: expr.CtKeySTATE},
		&expr.Bitwise{
			SourceRegister: 1, DestRegister: 1, Len: 4,
			Mask: binaryutil.NativeEndian.PutUint32(expr.CtStateBitNEW), Xor: make([]byte, 4),
		},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)},
		&expr.Target{Name: "NFQUEUE", Info: &info},
	}})
	return nft.Flush()
}
