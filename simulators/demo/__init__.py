"""The whole path on one computer: a plant that fails and speaks four protocols, the gateway, and a cloud that goes
away and comes back.

Everything runs as processes of its own, and the gateway as its users run it: `edgeward run`, on the configuration in
`config/demo`, asked through its control door. In the end what stands at the cloud is counted, point by point, against
what the simulators wrote down that they had sent.
"""
