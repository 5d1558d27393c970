// An OPC UA server that is told by lines of JSON on its standard input what its variables are, and answers each by one.
//
//   node nodeopcua_server.js '{"port": 4840, "pki": "folder", "before": ["urn:other"], "users": {"op": "secret"}}'
//
// {"set": "level", "value": 1.5, "status": "BadSensorFailure", "time": 1700000000000}   time in milliseconds
// {"get": "setpoint"}
// {"add": "late", "value": 1.5}   a variable that was not there before
// {"stop": true}
"use strict";
const path = require("path");
const readline = require("readline");
const ua = require("node-opcua");

const URI = "http://edgeward.test/plant";
const POLICIES = ["None", "Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss"];
const VARIABLES = {
  on: ["Boolean", true], i8: ["SByte", -8], u8: ["Byte", 200], i16: ["Int16", -16000], u16: ["UInt16", 65535],
  i32: ["Int32", -2000000000], u32: ["UInt32", 4294967295], i64: ["Int64", [0x80000000, 0]],
  u64: ["UInt64", [0xffffffff, 0xffffffff]], f32: ["Float", 0.5], level: ["Double", 1.25], text: ["String", "Grüße"],
  moment: ["DateTime", new Date(1700000000123)], label: ["LocalizedText", { text: "pump", locale: "en" }],
  setpoint: ["Double", 0], limit: ["Int16", 0], name: ["String", ""], title: ["LocalizedText", { text: "" }],
  due: ["DateTime", new Date(0)],
};

function emit(answer) {
  process.stdout.write(JSON.stringify(answer) + "\n");
}

async function certificates(root, name, trusting) {
  const manager = new ua.OPCUACertificateManager({
    automaticallyAcceptUnknownCertificate: trusting, rootFolder: path.join(root, name), name,
  });
  await manager.initialize();
  return manager;
}

function plant(server) {
  const space = server.engine.addressSpace;
  const namespace = space.registerNamespace(URI);
  const folder = namespace.addObject({ organizedBy: space.rootFolder.objects, browseName: "Plant" });
  const made = { add: null };
  const add = made.add = (name, type, value, more = {}) => {
    made[name] = namespace.addVariable({
      componentOf: folder, nodeId: `s=${name}`, browseName: name, dataType: type, minimumSamplingInterval: 0, ...more,
    });
    made[name].setValueFromSource({ dataType: ua.DataType[type], arrayType: ua.VariantArrayType.Scalar, value });
    return made[name];
  };
  for (const [name, [type, value]] of Object.entries(VARIABLES)) add(name, type, value);
  namespace.addAnalogDataItem({
    componentOf: folder, nodeId: "s=pressure", browseName: "pressure", dataType: "Double", minimumSamplingInterval: 0,
    engineeringUnitsRange: { low: 0, high: 400 }, engineeringUnits: ua.standardUnits.bar,
    value: { dataType: "Double", value: 210.5 },
  });
  add("denied", "Double", 4.5, { accessLevel: "CurrentRead", userAccessLevel: "CurrentRead" });
  made.list = namespace.addVariable({
    componentOf: folder, nodeId: "s=list", browseName: "list", dataType: "Double", valueRank: 1,
  });
  made.list.setValueFromSource({ dataType: ua.DataType.Double, arrayType: ua.VariantArrayType.Array, value: [1, 2] });
  return made;
}

function set(variable, order) {
  const dataType = variable.readValue().value.dataType;
  const value = dataType === ua.DataType.DateTime ? new Date(order.value) : order.value;
  const status = ua.StatusCodes[order.status || "Good"];
  const arrayType = ua.VariantArrayType.Scalar;
  variable.setValueFromSource({ dataType, arrayType, value }, status, order.time ? new Date(order.time) : new Date());
}

async function main(options) {
  const server = new ua.OPCUAServer({
    port: options.port, host: "127.0.0.1", resourcePath: "/plant",
    serverCertificateManager: await certificates(options.pki, "server", options.trusting !== false),
    userCertificateManager: await certificates(options.pki, "user", options.trusting !== false),
    securityPolicies: (options.policies || POLICIES).map((name) => ua.SecurityPolicy[name]),
    securityModes: [ua.MessageSecurityMode.None, ua.MessageSecurityMode.Sign, ua.MessageSecurityMode.SignAndEncrypt],
    allowAnonymous: !options.users,
    userManager: { isValidUser: (user, password) => (options.users || {})[user] === password },
    serverCapabilities: { minSupportedSampleRate: 0, operationLimits: { maxNodesPerRead: 50, maxMonitoredItemsPerCall: 50 },
      ...options.capabilities },
  });
  await server.initialize();
  for (const uri of options.before || []) server.engine.addressSpace.registerNamespace(uri);
  const made = plant(server);
  await server.start();
  emit({ ready: options.port });
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const order = JSON.parse(line);
    if (order.stop) break;
    if (order.add) made.add(order.add, "Double", order.value);
    if (order.set) set(made[order.set], order);
    const data = order.get ? made[order.get].readValue() : null;
    emit({ value: data ? data.value.value : null });
  }
  await server.shutdown(0);
  process.exit(0);
}

main(JSON.parse(process.argv[2]));
