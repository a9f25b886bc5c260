// viem against a running provider: argv is its URL, the service, the block, the account and a private key.
import { createPublicClient, createWalletClient, defineChain, http, parseAbi } from 'viem';
import { privateKeyToAccount } from 'viem/accounts';

const [url, service, block, account, key] = process.argv.slice(2);
const abi = parseAbi([
  'function balanceOf(bytes32 blockHash, address account) returns (uint256)',
  'function receipt(bytes32 blockHash, uint256 index) returns (uint8 kind, bool success, uint256 cumulativeGasUsed, uint256 logs, bytes raw)',
]);
const id = await createPublicClient({ transport: http(url) }).getChainId();
const chain = defineChain({
  id,
  name: 'explorer',
  nativeCurrency: { name: 'none', symbol: 'NONE', decimals: 18 },
  rpcUrls: { default: { http: [url] } },
});
const reader = createPublicClient({ chain, transport: http(url) });
const writer = createWalletClient({ chain, transport: http(url), account: privateKeyToAccount(key) });

const { result: balance } = await reader.simulateContract({
  address: service, abi, functionName: 'balanceOf', args: [block, account],
});
const { result: receipt } = await reader.simulateContract({
  address: service, abi, functionName: 'receipt', args: [block, 0n],
});
let refused = '';
try {
  await reader.simulateContract({ address: service, abi, functionName: 'receipt', args: [block, 1000n] });
} catch (error) {
  refused = error.shortMessage;
}
const hash = await writer.writeContract({ address: service, abi, functionName: 'balanceOf', args: [block, account] });
const mined = await reader.waitForTransactionReceipt({ hash, pollingInterval: 50 });
const response = await reader.request({ method: 'surety_getResponse', params: [hash] });
console.log(JSON.stringify({
  id,
  balance: balance.toString(),
  receipt: { kind: receipt[0], success: receipt[1], gas: receipt[2].toString(), logs: receipt[3].toString() },
  refused,
  status: mined.status,
  from: mined.from,
  output: response.output,
  requester: response.requester,
}));
